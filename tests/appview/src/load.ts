// Loads the fixture into a dataplane: record events through `ringplane ingest`,
// everything else through the admin RPCs (Connect with JSON).
//
// node src/load.ts --admin http://host:port --ringplane BINARY
import { spawnSync } from 'node:child_process'
import { buildFixture } from './fixtures.ts'

const arg = (k: string) => process.argv[process.argv.indexOf('--' + k) + 1]
const admin = arg('admin'), ringplane = arg('ringplane')
const fx = await buildFixture()

async function call(method: string, request: unknown) {
  const answer = await fetch(`${admin}/ringplane.admin.v1.Admin/${method}`, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(request),
  })
  const body: any = await answer.json()
  if (!answer.ok || body.errors?.length) throw new Error(`${method}: ${answer.status} ${JSON.stringify(body)}`)
}

await call('PutActors', { actors: fx.actors.map((a) => ({ did: a.did, handle: a.handle, upstreamStatus: a.upstreamStatus, takedownRef: a.takedownRef, indexedAt: a.indexedAt })) })
const servicesOf = (did: string) => Object.fromEntries(fx.services.filter((s) => s.did === did).map((s) => [s.id, { Type: s.type, URL: s.url }]))
await call('PutIdentities', { identities: [
  ...fx.actors.map((a) => ({ did: a.did, keys: JSON.stringify({ atproto: { Type: 'Multikey', PublicKeyMultibase: a.pubMultibase } }), services: JSON.stringify({ ...servicesOf(a.did), atproto_pds: { Type: 'AtprotoPersonalDataServer', URL: a.pds } }), updatedAt: fx.meta.clockEnd })),
  ...[...new Set(fx.services.map((s) => s.did))].filter((did) => !fx.actors.some((a) => a.did === did)).map((did) => ({ did, keys: '{}', services: JSON.stringify(servicesOf(did)), updatedAt: fx.meta.clockEnd })),
] })
// A muted thread makes no notifications, so mutes come before the events.
await call('PutThreadMutes', { mutes: fx.threadMutes.map((m) => ({ actorDid: m.actor, rootUri: m.root, createdAt: m.createdAt })) })

const lines = fx.events.map((e) => JSON.stringify({ did: e.did, time_us: Date.parse(e.indexedAt) * 1000, kind: 'commit', commit: {
  rev: e.rev, operation: e.op, collection: e.collection, rkey: e.rkey, ...(e.op === 'delete' ? {} : { record: e.record, cid: e.cid }) } }))
const ingest = spawnSync(ringplane, ['ingest', '-', `--to=${admin}`, '--strict'], { input: lines.join('\n') + '\n', stdio: ['pipe', 'inherit', 'inherit'] })
if (ingest.status !== 0) throw new Error(`ringplane ingest ended with ${ingest.status ?? ingest.signal}`)

await call('PutMutes', { mutes: fx.mutes.map((m) => ({ actorDid: m.actor, subjectDid: m.subject, createdAt: m.createdAt, onlyReposts: m.onlyReposts, onlyQuoteposts: m.onlyQuoteposts })) })
await call('PutListMutes', { mutes: fx.listMutes.map((m) => ({ actorDid: m.actor, listUri: m.list, createdAt: m.createdAt })) })
await call('PutBookmarks', { bookmarks: fx.bookmarks.map((b) => ({ actorDid: b.actor, key: b.key, subjectUri: b.subjectUri, subjectCid: b.subjectCid, indexedAt: b.indexedAt })) })
await call('PutActivitySubscriptions', { subscriptions: fx.activitySubs.map((s) => ({ actorDid: s.actor, key: s.key, subjectDid: s.subject, post: s.post, reply: s.reply, indexedAt: s.indexedAt })) })
await call('PutNotificationSeen', { seen: fx.notifSeen.map((s) => ({ actorDid: s.actor, seenAt: s.at })) })
await call('PutNotificationPriority', { priorities: fx.notifSeen.map((s) => ({ actorDid: s.actor, priority: s.priority })) })
await call('PutLabels', { labels: fx.labels.map((l) => ({ src: l.src, uri: l.uri, cid: l.cid, val: l.val, neg: l.neg, cts: l.cts, exp: l.exp ?? '' })) })
await call('PutTakedowns', { takedowns: fx.recordTakedowns.map((t) => ({ recordUri: t.uri, ref: t.ref })) })
console.log(`loaded ${fx.actors.length} accounts and ${fx.events.length} events`)
