// Deterministic data set for the dataplane acceptance test. Everything below is invented data.
// Output: actors (identity), events (firehose-like record creates/updates/deletes in index order) and
// private state (bsync-like operations + labels + takedowns). CIDs are real DAG-CBOR CIDs of the records.
import { createHash } from 'node:crypto'
import { Secp256k1Keypair } from '@atproto/crypto'
import { lexParse } from '@atproto/lex'
import { cidForLex } from '@atproto/lex-cbor'

export type Ev = {
  seq: number; op: 'create' | 'update' | 'delete'; did: string; rev: string
  collection: string; rkey: string; uri: string; cid: string | null
  record: any | null; indexedAt: string
}
export type ActorFx = {
  did: string; handle: string; privKeyHex: string; pubMultibase: string
  indexedAt: string; upstreamStatus: string; takedownRef: string; pds: string
  trustedVerifier?: boolean
}
export type Label = { src: string; uri: string; cid: string; val: string; neg: boolean; cts: string; exp: string | null }
export type Fixture = {
  meta: Record<string, unknown>
  labeler: string; appviewDid: string; modDid: string
  actors: ActorFx[]; services: { did: string; id: string; type: string; url: string }[]
  events: Ev[]
  mutes: { actor: string; subject: string; createdAt: string; onlyReposts: boolean; onlyQuoteposts: boolean }[]
  listMutes: { actor: string; list: string; createdAt: string }[]
  threadMutes: { actor: string; root: string; createdAt: string }[]
  bookmarks: { actor: string; key: string; subjectUri: string; subjectCid: string; indexedAt: string }[]
  activitySubs: { actor: string; key: string; subject: string; post: boolean; reply: boolean; indexedAt: string }[]
  notifSeen: { actor: string; at: string; priority: boolean }[]
  labels: Label[]
  recordTakedowns: { uri: string; ref: string }[]
}

const B32 = 'abcdefghijklmnopqrstuvwxyz234567'
const S32 = '234567abcdefghijklmnopqrstuvwxyz'
export const T0 = Date.parse('2025-03-01T00:00:00.000Z')

const b32 = (buf: Buffer, n: number) => {
  let out = '', acc = 0, bits = 0
  for (const b of buf) { acc = (acc << 8) | b; bits += 8; while (bits >= 5) { out += B32[(acc >> (bits - 5)) & 31]; bits -= 5; acc &= (1 << bits) - 1 } }
  return out.slice(0, n)
}
const b32full = (buf: Buffer) => { let out = '', acc = 0, bits = 0; for (const b of buf) { acc = (acc << 8) | b; bits += 8; while (bits >= 5) { out += B32[(acc >> (bits - 5)) & 31]; bits -= 5; acc &= (1 << bits) - 1 } } if (bits) out += B32[(acc << (5 - bits)) & 31]; return out }
export const didFor = (name: string) => 'did:plc:' + b32(createHash('sha256').update('ringplane:' + name).digest(), 24)
export const tid = (ms: number, clk: number) => {
  let v = (BigInt(ms) * 1000n << 10n) | BigInt(clk & 1023)
  let s = ''
  for (let i = 0; i < 13; i++) { s = S32[Number(v & 31n)] + s; v >>= 5n }
  return s
}
class Rng { s: number; constructor(seed: number) { this.s = seed >>> 0 }
  next() { this.s = (this.s + 0x6d2b79f5) | 0; let t = Math.imul(this.s ^ (this.s >>> 15), 1 | this.s); t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t; return ((t ^ (t >>> 14)) >>> 0) / 4294967296 }
  int(n: number) { return Math.floor(this.next() * n) }
  pick<T>(a: T[]): T { return a[this.int(a.length)] }
  chance(p: number) { return this.next() < p } }

export const keyHexFor = (name: string) => createHash('sha256').update('ringplane-key:' + name).digest('hex')

export async function buildFixture(opts: { seed?: number; users?: number; posts?: number } = {}): Promise<Fixture> {
  const seed = opts.seed ?? Number(process.env.FIXTURE_SEED ?? 42), nUsers = opts.users ?? Number(process.env.FIXTURE_USERS ?? 24), nPosts = opts.posts ?? Number(process.env.FIXTURE_POSTS ?? 400)
  const rng = new Rng(seed)
  const names = Array.from({ length: nUsers }, (_, i) => i === 0 ? 'alice' : i === 1 ? 'bob' : i === 2 ? 'carol' : i === 3 ? 'dan' : `user${String(i).padStart(3, '0')}`)
  const dids = names.map(didFor)
  const labeler = didFor('labeler'), fgDid = didFor('feedgen'), appviewDid = 'did:web:appview.ringplane.test', modDid = didFor('modservice')
  const actors: ActorFx[] = []
  for (const [i, n] of [...names, 'labeler', 'modservice', 'feedgen'].entries()) {
    const kp = await Secp256k1Keypair.import(keyHexFor(n))
    actors.push({ did: didFor(n), handle: `${n}.test`, privKeyHex: keyHexFor(n), pubMultibase: kp.did().slice('did:key:'.length),
      indexedAt: new Date(T0 + i * 1000).toISOString(), upstreamStatus: '', takedownRef: '', pds: 'https://pds.ringplane.test' })
  }
  const byName = (n: string) => dids[names.indexOf(n)]
  const takenDown = dids[nUsers - 1], deactivated = dids[nUsers - 2]
  actors[nUsers - 1].takedownRef = 'BSKY-TAKEDOWN-0001'
  actors[nUsers - 2].upstreamStatus = 'deactivated'

  const events: Ev[] = []
  let clock = T0 + 3600_000, seq = 0
  const cidOf = async (rec: any) => (await cidForLex(lexParse(JSON.stringify(rec)))).toString()
  const live = new Map<string, { cid: string; record: any }>()
  const put = async (did: string, collection: string, rkey: string | null, rec: any, o: { createdMs?: number; noCreated?: boolean } = {}) => {
    clock += 1000 + rng.int(30_000)
    // createdAt is usually a little before indexing, sometimes in the future (sortAt = min of the two)
    const createdMs = o.createdMs ?? (rng.chance(0.05) ? clock + 86_400_000 : clock - rng.int(900))
    const record = o.noCreated ? { $type: collection, ...rec } : { $type: collection, ...rec, createdAt: new Date(createdMs).toISOString() }
    const rk = rkey ?? tid(clock, seq)
    const uri = `at://${did}/${collection}/${rk}`
    const cid = await cidOf(record)
    const op = live.has(uri) ? 'update' : 'create'
    live.set(uri, { cid, record })
    events.push({ seq: ++seq, op, did, rev: tid(clock, seq), collection, rkey: rk, uri, cid, record, indexedAt: new Date(clock).toISOString() })
    return { uri, cid, did, record }
  }
  const del = (uri: string) => {
    clock += 1000 + rng.int(5000)
    const [, , did, collection, rkey] = uri.split('/')
    live.delete(uri)
    events.push({ seq: ++seq, op: 'delete', did, rev: tid(clock, seq), collection, rkey, uri, cid: null, record: null, indexedAt: new Date(clock).toISOString() })
  }
  const rawCid = (s: string) => { const buf = Buffer.concat([Buffer.from([1, 0x55, 0x12, 0x20]), createHash('sha256').update(s).digest()]); return 'b' + b32full(buf) }
  const blob = (s: string, mime = 'image/jpeg') => ({ $type: 'blob', ref: { $link: rawCid(s) }, mimeType: mime, size: 1000 + s.length })

  // profiles and per-account declarations
  for (const [i, n] of names.entries()) {
    await put(dids[i], 'app.bsky.actor.profile', 'self', { displayName: n[0].toUpperCase() + n.slice(1), description: `profile of ${n}`, ...(i % 3 === 0 ? { avatar: blob('av' + n) } : {}) })
    if (i % 5 === 0) await put(dids[i], 'chat.bsky.actor.declaration', 'self', { allowIncoming: 'all' }, { noCreated: true })
    if (i % 7 === 0) await put(dids[i], 'app.bsky.notification.declaration', 'self', { allowSubscriptions: 'mutuals' }, { noCreated: true })
  }
  await put(labeler, 'app.bsky.actor.profile', 'self', { displayName: 'Labeler' })
  await put(labeler, 'app.bsky.labeler.service', 'self', { policies: { labelValues: ['spam', 'porn'] } })

  // follow graph (skewed: low indexes are popular)
  for (let i = 0; i < nUsers; i++) for (let j = 0; j < nUsers; j++) {
    if (i === j) continue
    if (rng.chance(j < 4 ? 0.7 : 0.25)) await put(dids[i], 'app.bsky.graph.follow', null, { subject: dids[j] })
  }
  const follows = [...live.keys()].filter((u) => u.includes('/app.bsky.graph.follow/'))
  for (let k = 0; k < 5; k++) { const i = rng.int(follows.length); del(follows[i]); follows.splice(i, 1) }
  // a duplicate follow (same creator and subject, other rkey): only the first one may count
  const dupF = live.get(follows[0])!
  await put(follows[0].split('/')[2], 'app.bsky.graph.follow', null, { subject: dupF.record.subject })

  // blocks: carol blocks user005; user006 blocks alice
  await put(byName('carol'), 'app.bsky.graph.block', null, { subject: dids[5] })
  await put(dids[6], 'app.bsky.graph.block', null, { subject: byName('alice') })

  // lists
  const curate = await put(byName('bob'), 'app.bsky.graph.list', null, { purpose: 'app.bsky.graph.defs#curatelist', name: 'bobs list', description: 'people bob reads' })
  for (const d of [dids[0], dids[2], dids[3], dids[4], dids[7]]) await put(byName('bob'), 'app.bsky.graph.listitem', null, { subject: d, list: curate.uri })
  const modlist = await put(byName('dan'), 'app.bsky.graph.list', null, { purpose: 'app.bsky.graph.defs#modlist', name: 'dans modlist' })
  for (const d of [dids[8], dids[9]]) await put(byName('dan'), 'app.bsky.graph.listitem', null, { subject: d, list: modlist.uri })
  await put(byName('alice'), 'app.bsky.graph.listblock', null, { subject: modlist.uri })

  // feed generator
  await put(byName('bob'), 'app.bsky.feed.generator', 'test-feed', { did: fgDid, displayName: 'Test feed', description: 'a feed' })

  // posts
  type P = { uri: string; cid: string; did: string; record: any }
  const posts: P[] = []
  const gates = new Set<string>()
  for (let k = 0; k < nPosts; k++) {
    const did = rng.chance(0.3) ? dids[rng.int(4)] : rng.pick(dids)
    const text = `post ${k} by ${did.slice(-4)}`
    const rec: any = { text, langs: ['en'] }
    if (posts.length > 5 && rng.chance(0.45)) {
      // replies: half of them continue a thread from the same author (self threads)
      const own = posts.filter((p) => p.did === did)
      const parent = own.length && rng.chance(0.5) ? own[own.length - 1] : posts[Math.max(0, posts.length - 1 - rng.int(40))]
      const root = parent.record.reply ? parent.record.reply.root : { uri: parent.uri, cid: parent.cid }
      rec.reply = { root, parent: { uri: parent.uri, cid: parent.cid } }
    }
    const kind = rng.next()
    if (kind < 0.12) rec.embed = { $type: 'app.bsky.embed.images', images: [{ image: blob('im' + k), alt: 'alt ' + k }] }
    else if (kind < 0.17) rec.embed = { $type: 'app.bsky.embed.external', external: { uri: `https://site.test/${k}`, title: `t${k}`, description: 'd' } }
    else if (kind < 0.27 && posts.length > 5) { const q = rng.pick(posts); rec.embed = { $type: 'app.bsky.embed.record', record: { uri: q.uri, cid: q.cid } } }
    else if (kind < 0.29 && posts.length > 5) { const q = rng.pick(posts); rec.embed = { $type: 'app.bsky.embed.recordWithMedia', record: { $type: 'app.bsky.embed.record', record: { uri: q.uri, cid: q.cid } }, media: { $type: 'app.bsky.embed.images', images: [{ image: blob('rm' + k), alt: '' }] } } }
    else if (kind < 0.31) rec.embed = { $type: 'app.bsky.embed.video', video: blob('vid' + k, 'video/mp4'), alt: 'v' }
    if (rng.chance(0.06)) { const m = rng.pick(dids); rec.text = text + ' @x'; rec.facets = [{ index: { byteStart: Buffer.byteLength(text) + 1, byteEnd: Buffer.byteLength(text) + 3 }, features: [{ $type: 'app.bsky.richtext.facet#mention', did: m }] }] }
    const p = await put(did, 'app.bsky.feed.post', null, rec)
    posts.push(p)
    if (!rec.reply && rng.chance(0.04)) {
      gates.add(p.uri)
      await put(did, 'app.bsky.feed.threadgate', p.uri.split('/')[4], { post: p.uri, allow: rng.chance(0.5) ? [] : [{ $type: 'app.bsky.feed.threadgate#followingRule' }] })
    }
    if (rng.chance(0.01)) await put(did, 'app.bsky.feed.postgate', p.uri.split('/')[4], { post: p.uri, embeddingRules: [{ $type: 'app.bsky.feed.postgate#disableRule' }] })
    // reposts and likes land while posting goes on
    if (posts.length > 3 && rng.chance(0.35)) { const s = posts[Math.max(0, posts.length - 1 - rng.int(60))]; await put(rng.pick(dids), 'app.bsky.feed.repost', null, { subject: { uri: s.uri, cid: s.cid } }) }
    const nl = rng.int(5)
    for (let q = 0; q < nl; q++) { const s = posts[Math.max(0, posts.length - 1 - Math.floor(rng.next() ** 3 * 80))]; await put(rng.pick(dids), 'app.bsky.feed.like', null, { subject: { uri: s.uri, cid: s.cid } }) }
  }
  // one hot post: everybody likes and reposts it, several reply
  const hot = posts.find((p) => p.did === byName('alice') && !p.record.reply)!
  for (const d of dids) { await put(d, 'app.bsky.feed.like', null, { subject: { uri: hot.uri, cid: hot.cid } }); if (rng.chance(0.5)) await put(d, 'app.bsky.feed.repost', null, { subject: { uri: hot.uri, cid: hot.cid } }) }
  for (const d of [dids[1], dids[2], dids[3], dids[5]]) posts.push(await put(d, 'app.bsky.feed.post', null, { text: 'reply to the hot post', langs: ['en'], reply: { root: { uri: hot.uri, cid: hot.cid }, parent: { uri: hot.uri, cid: hot.cid } } }))
  // deletions
  const likes = [...live.keys()].filter((u) => u.includes('/app.bsky.feed.like/'))
  for (let k = 0; k < 12; k++) { const i = rng.int(likes.length); del(likes[i]); likes.splice(i, 1) }
  const reposts = [...live.keys()].filter((u) => u.includes('/app.bsky.feed.repost/'))
  for (let k = 0; k < 4; k++) { const i = rng.int(reposts.length); del(reposts[i]); reposts.splice(i, 1) }
  for (let k = 0; k < 6; k++) { const c = posts.filter((p) => live.has(p.uri) && p.uri !== hot.uri && !gates.has(p.uri)); del(rng.pick(c).uri) }
  // a profile update with a pinned post
  await put(byName('alice'), 'app.bsky.actor.profile', 'self', { displayName: 'Alice II', description: 'updated', avatar: blob('avalice2'), pinnedPost: { uri: hot.uri, cid: hot.cid } })

  const tdPost = posts.find((p) => live.has(p.uri) && p.did === byName('bob') && !p.record.reply && p.uri !== hot.uri)!
  const label = (uri: string, val: string, cid = '', neg = false, exp: string | null = null): Label => ({ src: labeler, uri, cid, val, neg, cts: new Date(T0).toISOString(), exp })
  const liveP = posts.filter((p) => live.has(p.uri))
  const now = new Date(clock).toISOString()
  return {
    meta: { seed, nUsers, nPosts, clockEnd: now, hot: hot.uri, curateList: curate.uri, modList: modlist.uri, feedgen: `at://${byName('bob')}/app.bsky.feed.generator/test-feed`, takenDownPost: tdPost.uri, takenDownActor: takenDown, deactivatedActor: deactivated,
      alice: byName('alice'), bob: byName('bob'), carol: byName('carol'), dan: byName('dan') },
    labeler, appviewDid, modDid, actors,
    services: [{ did: fgDid, id: 'bsky_fg', type: 'BskyFeedGenerator', url: 'http://127.0.0.1:2690' }],
    events,
    mutes: [ { actor: byName('alice'), subject: dids[10], createdAt: now, onlyReposts: false, onlyQuoteposts: false }, { actor: byName('alice'), subject: dids[11], createdAt: now, onlyReposts: true, onlyQuoteposts: false } ],
    listMutes: [{ actor: byName('carol'), list: modlist.uri, createdAt: now }],
    threadMutes: [{ actor: byName('bob'), root: hot.uri, createdAt: now }],
    bookmarks: [{ actor: byName('alice'), key: tid(clock, 7), subjectUri: liveP[3].uri, subjectCid: liveP[3].cid, indexedAt: now }],
    activitySubs: [{ actor: byName('alice'), key: tid(clock, 8), subject: byName('bob'), post: true, reply: false, indexedAt: now }],
    notifSeen: [{ actor: byName('alice'), at: new Date(clock - 20 * 60_000).toISOString(), priority: false }],
    labels: [ label(dids[4], 'spam'), label(liveP[10].uri, 'porn', liveP[10].cid), label(liveP[11].uri, 'porn', '', true), label(liveP[12].uri, 'spam', '', false, '2025-01-01T00:00:00.000Z') ],
    recordTakedowns: [{ uri: tdPost.uri, ref: 'BSKY-TAKEDOWN-0002' }],
  }
}
