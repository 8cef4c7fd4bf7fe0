// Shared pieces: logging proxy in front of any dataplane, AppView child process, signed requests.
import { spawn, type ChildProcess } from 'node:child_process'
import path from 'node:path'
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import http from 'node:http'
import { createPromiseClient, ConnectError, Code } from '@connectrpc/connect'
import { createGrpcTransport, createConnectTransport } from '@connectrpc/connect-node'
import { Secp256k1Keypair } from '@atproto/crypto'
import { createServiceJwt } from '@atproto/xrpc-server'
import { Service, pb } from './gen.ts'
import { serveService } from './stub.ts'
import type { Fixture } from './fixtures.ts'

export const here = path.dirname(fileURLToPath(import.meta.url))
export type Call = { rpc: string; keys: Record<string, number>; uniq: number; t0: number; t1: number; reqBytes: number; resBytes: number; code: string; caller: string | null; ua: string | null }
export const sleep = (ms: number) => new Promise((r) => setTimeout(r, ms))

export const client = (url: string, o: { protocol?: 'grpc' | 'connect'; httpVersion?: '1.1' | '2' } = {}): any => {
  const t = o.protocol === 'connect' ? createConnectTransport({ baseUrl: url, httpVersion: o.httpVersion ?? '2' }) : createGrpcTransport({ baseUrl: url, httpVersion: o.httpVersion ?? '2', acceptCompression: [] })
  return createPromiseClient(Service, t)
}
const keysOf = (M: any, msg: any) => { const out: Record<string, number> = {}; for (const f of M.fields.list()) if (f.repeated) { const n = msg[f.localName]?.length ?? 0; if (n) out[f.name] = n } else if (f.name === 'limit' && msg.limit) out.limit = msg.limit; return out }

const uniqOf = (M: any, msg: any) => { let n = 0; for (const f of M.fields.list()) if (f.repeated && !['issuers', 'skip_cache_for_dids', 'return_age_assurance_for_dids'].includes(f.name)) n = Math.max(n, new Set((msg[f.localName] ?? []).map((x: any) => typeof x === 'string' ? x : x.uri ?? `${x.a},${x.b}`)).size); return n || 1 }
// gRPC h2c proxy that records every dataplane call; delayMs makes dependency waves visible
export async function startProxy(upstream: string, port: number, o: { delayMs?: number; fail?: (rpc: string) => Code | undefined } = {}) {
  const up = client(upstream); const calls: Call[] = []
  const state = { delayMs: o.delayMs ?? 0, fail: o.fail }
  const impl: any = {}
  for (const [local, m] of Object.entries<any>(Service.methods)) {
    impl[local] = async (req: any, ctx: any) => {
      const c: Call = { rpc: m.name, keys: keysOf(m.I, req), uniq: uniqOf(m.I, req), t0: performance.now(), t1: 0, reqBytes: req.toBinary().length, resBytes: 0, code: 'ok', caller: ctx.requestHeader.get('x-atlantis-caller'), ua: ctx.requestHeader.get('user-agent') }
      calls.push(c)
      try {
        const f = state.fail?.(m.name); if (f !== undefined) throw new ConnectError('injected', f)
        const hdr: any = {}; const tp = ctx.requestHeader.get('x-atlantis-caller'); if (tp) hdr['x-atlantis-caller'] = tp
        const [res] = await Promise.all([up[local](req, { headers: hdr, signal: ctx.signal }), state.delayMs ? sleep(state.delayMs) : 0])
        c.resBytes = res.toBinary().length
        return res
      } catch (e: any) { c.code = e instanceof ConnectError ? Code[e.code] : 'unknown'; throw e }
      finally { c.t1 = performance.now() }
    }
  }
  const s = await serveService(impl, port)
  return { url: `http://127.0.0.1:${s.port}`, calls, state, close: s.close }
}

// features: serves a GrowthBook-shaped feature list so that feature gates can be switched on
export async function startGates(gates: string[]) {
  const srv = http.createServer((_q, r) => { r.setHeader('content-type', 'application/json'); r.end(JSON.stringify({ status: 200, features: Object.fromEntries(gates.map((g) => [g, { defaultValue: true }])) })) })
  await new Promise<void>((r) => srv.listen(0, '127.0.0.1', () => r()))
  return { url: `http://127.0.0.1:${(srv.address() as any).port}`, close: () => srv.close() }
}

export async function startAppView(fx: Fixture, dataplaneUrls: string[], o: { port?: number; env?: Record<string, string>; logFile?: string } = {}) {
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '/tmp',
    NODE_ENV: 'development', // switches on lexicon validation of every XRPC response and off SSRF protection
    LOG_ENABLED: 'true', LOG_LEVEL: 'info',
    BSKY_PORT: String(o.port ?? 0), BSKY_SERVER_DID: fx.appviewDid, BSKY_PUBLIC_URL: 'https://appview.ringplane.test',
    BSKY_DATAPLANE_URLS: dataplaneUrls.join(','), BSKY_DATAPLANE_HTTP_VERSION: '2',
    BSKY_BSYNC_URL: 'http://127.0.0.1:9', BSKY_BSYNC_HTTP_VERSION: '1.1', // required, but only dialled on writes
    MOD_SERVICE_DID: fx.modDid, BSKY_LABELS_FROM_ISSUER_DIDS: fx.labeler, BSKY_ADMIN_PASSWORDS: 'testpass',
    BSKY_DID_PLC_URL: 'http://127.0.0.1:9', // only dialled for handle resolution fallbacks
    BSKY_SERVICE_SIGNING_KEY: '8a5b0d2c7e6f4a1b9c3d5e7f8091a2b3c4d5e6f708192a3b4c5d6e7f8091a2b3', ...o.env,
  }
  const child: ChildProcess = spawn(process.execPath, [path.join(here, 'appview.ts')], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let out = ''; const log = o.logFile ? fs.createWriteStream(o.logFile) : null
  const port = await new Promise<number>((res, rej) => {
    const on = (d: Buffer) => { out += d; log?.write(d); const m = out.match(/"listening":(\d+)/); if (m) res(Number(m[1])) }
    child.stdout!.on('data', on); child.stderr!.on('data', on)
    child.on('exit', (c) => rej(new Error(`appview exited ${c}\n${out.slice(-3000)}`)))
  })
  return { url: `http://127.0.0.1:${port}`, pid: child.pid!, child, close: () => new Promise<void>((r) => { child.removeAllListeners('exit'); child.on('exit', () => r()); child.kill('SIGTERM'); setTimeout(() => child.kill('SIGKILL'), 3000).unref() }) }
}

const kps = new Map<string, any>()
export async function xrpc(av: string, fx: Fixture, nsid: string, params: Record<string, any>, viewer?: string) {
  const q = new URLSearchParams()
  for (const [k, v] of Object.entries(params)) for (const x of Array.isArray(v) ? v : [v]) if (x !== undefined) q.append(k, String(x))
  const headers: Record<string, string> = {}
  if (viewer) {
    const a = fx.actors.find((x) => x.did === viewer)!
    let kp = kps.get(viewer); if (!kp) kps.set(viewer, kp = await Secp256k1Keypair.import(a.privKeyHex))
    headers.authorization = 'Bearer ' + await createServiceJwt({ iss: viewer, aud: fx.appviewDid, lxm: nsid, keypair: kp } as any)
  }
  const r = await fetch(`${av}/xrpc/${nsid}?${q}`, { headers })
  const text = await r.text(); let body: any; try { body = JSON.parse(text) } catch { body = text }
  return { status: r.status, body, headers: r.headers, bytes: text.length }
}
// feed generator used by getFeed: returns a fixed skeleton
export async function startFeedgen(posts: string[], port = 2690) {
  const srv = http.createServer((q, r) => { r.setHeader('content-type', 'application/json'); r.end(JSON.stringify({ feed: posts.map((p) => ({ post: p })) })) })
  await new Promise<void>((r) => srv.listen(port, '127.0.0.1', () => r()))
  return { close: () => srv.close() }
}
