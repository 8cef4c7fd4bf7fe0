// Checks a dataplane that was filled from a file of Jetstream lines against the
// file itself: no record is lost, counts and feeds follow from the lines. Asks
// by gRPC, and by curl with JSON as the README shows.
// Prints a digest of what it saw, so that two runs can be compared.
//
// node src/real-records.ts --dataplane http://host:port --events FILE
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import fs from 'node:fs'
import { client } from './harness.ts'

const arg = (k: string) => process.argv[process.argv.indexOf('--' + k) + 1]
const url = arg('dataplane')
const grpc = client(url)
const curl = (method: string, request: unknown): any => JSON.parse(execFileSync('curl',
  ['-sS', '--fail-with-body', '-H', 'Content-Type: application/json', '-d', '@-', `${url}/bsky.Service/${method}`],
  { input: JSON.stringify(request), encoding: 'utf8', maxBuffer: 1 << 26 }))
let checks = 0
const digest = createHash('sha256')
function expect(what: string, got: unknown, want: unknown) {
  checks++
  const g = JSON.stringify(got), w = JSON.stringify(want)
  digest.update(`${what}${g}`)
  if (g !== w) throw new Error(`${what}: got ${g?.slice(0, 400)}, want ${w?.slice(0, 400)}`)
}
const sorted = (v: any): any => Array.isArray(v) ? v.map(sorted) : v && typeof v === 'object' ? Object.fromEntries(Object.keys(v).sort().map((k) => [k, sorted(v[k])])) : v

type Row = { uri: string; cid: string; did: string; record: any; sortAt: number }
const rows: Row[] = fs.readFileSync(arg('events'), 'utf8').trim().split('\n').map((l) => JSON.parse(l)).map((e) => ({
  uri: `at://${e.did}/${e.commit.collection}/${e.commit.rkey}`, cid: e.commit.cid, did: e.did, record: e.commit.record,
  sortAt: Math.min(Date.parse(e.commit.record.createdAt), Math.floor(e.time_us / 1000)) }))
const of = (collection: string) => rows.filter((r) => r.uri.includes(`/${collection}/`))
const dids = [...new Set(rows.map((r) => r.did))].sort()
const posts = of('app.bsky.feed.post'), postUris = new Set(posts.map((p) => p.uri))

// Every record, word for word.
for (const [collection, method] of [['app.bsky.feed.post', 'getPostRecords'], ['app.bsky.feed.like', 'getLikeRecords'], ['app.bsky.feed.repost', 'getRepostRecords'], ['app.bsky.graph.follow', 'getFollowRecords'], ['app.bsky.actor.profile', 'getProfileRecords']]) {
  const want = of(collection)
  const got = (await grpc[method]({ uris: want.map((r) => r.uri) })).records
  expect(`${method}, how many`, got.length, want.length)
  want.forEach((r, i) => {
    expect(`cid of ${r.uri}`, got[i].cid, r.cid)
    expect(`record ${r.uri}`, sorted(JSON.parse(Buffer.from(got[i].record).toString())), sorted(r.record))
  })
}
{
  const answer = curl('GetPostRecords', { uris: posts.map((p) => p.uri) })
  expect('GetPostRecords by curl', answer.records.map((r: any) => r.cid), posts.map((p) => p.cid))
}

// Counts.
const distinct = (r: Row[], f: (x: Row) => string) => new Set(r.map(f)).size
const counts = curl('GetCountsForUsers', { dids })
const countsGrpc = await grpc.getCountsForUsers({ dids })
expect('posts', countsGrpc.posts, dids.map((d) => posts.filter((p) => p.did === d).length))
expect('following', countsGrpc.following, dids.map((d) => distinct(of('app.bsky.graph.follow').filter((f) => f.did === d), (f) => f.record.subject)))
expect('followers', countsGrpc.followers, dids.map((d) => distinct(of('app.bsky.graph.follow').filter((f) => f.record.subject === d), (f) => f.did)))
expect('counts by curl', [counts.posts, counts.following], [countsGrpc.posts, countsGrpc.following])
const interactions = await grpc.getInteractionCounts({ refs: posts.map((p) => ({ uri: p.uri })) })
expect('likes', interactions.likes, posts.map((p) => distinct(of('app.bsky.feed.like').filter((l) => l.record.subject.uri === p.uri), (l) => l.did)))
expect('replies', interactions.replies, posts.map((p) => posts.filter((q) => q.record.reply?.parent.uri === p.uri).length))

// Feeds: own posts, and reposts of posts that are here, newest first.
const newestFirst = (a: Row, b: Row) => b.sortAt - a.sortAt || (a.cid < b.cid ? 1 : -1)
for (const did of dids) {
  const want = rows.filter((r) => r.did === did && (postUris.has(r.uri) || (r.uri.includes('/app.bsky.feed.repost/') && postUris.has(r.record.subject.uri)))).sort(newestFirst)
    .map((r) => r.record.subject?.uri ?? r.uri)
  const got: string[] = []
  let cursor = ''
  do {
    const page: any = await grpc.getAuthorFeed({ actorDid: did, limit: 30, cursor })
    got.push(...page.items.map((i: any) => i.uri))
    cursor = page.cursor
  } while (cursor)
  expect(`author feed of ${did}`, got, want)
  const feed = curl('GetAuthorFeed', { actorDid: did, limit: 10 })
  expect(`author feed of ${did} by curl`, feed.items.map((i: any) => i.uri), want.slice(0, 10))
  // Nobody here follows anybody here: the timeline is the own items.
  const own = rows.filter((r) => r.did === did && (postUris.has(r.uri) || r.uri.includes('/app.bsky.feed.repost/'))).sort(newestFirst).map((r) => r.record.subject?.uri ?? r.uri)
  const timeline = await grpc.getTimeline({ actorDid: did, limit: 50 })
  expect(`timeline of ${did}`, timeline.items.map((i: any) => i.uri), own.slice(0, 50))
  expect(`timeline of ${did} by curl`, (curl('GetTimeline', { actorDid: did, limit: 10 }).items ?? []).map((i: any) => i.uri), own.slice(0, 10))
}

// Threads.
for (const post of posts) {
  const replies = posts.filter((p) => p.record.reply?.parent.uri === post.uri)
  if (!replies.length) continue
  const thread = await grpc.getThread({ postUri: post.uri, above: 0, below: 1 })
  expect(`thread of ${post.uri}`, thread.uris, [post.uri, ...replies.sort(newestFirst).map((r) => r.uri)])
  expect(`thread of ${post.uri} by curl`, curl('GetThread', { postUri: post.uri, above: 0, below: 1 }).uris, thread.uris)
}
console.log(`${checks} checks of ${rows.length} records passed; digest ${digest.digest('hex').slice(0, 16)}`)
