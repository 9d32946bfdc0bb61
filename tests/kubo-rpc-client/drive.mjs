// Drives a daemon by kubo-rpc-client: `node drive.mjs http://HOST:PORT/api/v0 MULTIADDR-OF-A-PEER`. It prints a line for each part
// that worked, and fails with the first that did not.
import assert from 'node:assert/strict'
import { create } from 'kubo-rpc-client'

const [url, peer] = process.argv.slice(2)
const ipfs = create({ url })
const text = (string) => new TextEncoder().encode(string)
const all = async (iterable) => { const items = []; for await (const item of iterable) items.push(item); return items }
const bytes = async (iterable) => Buffer.concat(await all(iterable))

const parts = {
  async id () {
    const { id, agentVersion, addresses } = await ipfs.id()
    assert.match(id.toString(), /^12D3/)
    assert.match(agentVersion, /^cidra/)
    assert.ok(addresses.length > 0)
    assert.equal((await ipfs.version()).version, '0.43.0')
    assert.ok(await ipfs.isOnline())
  },

  async add () {
    const { cid, path, size } = await ipfs.add('hello world')
    assert.equal(cid.toString(), 'Qmf412jQZiuVUtdgnB36FXFX7xg5V6KEbSJ4dpQuhkLyfD')
    assert.equal(path, cid.toString())
    assert.ok(size > 11)
    const v1 = await ipfs.add({ path: 'x.txt', content: text('hello world') }, { cidVersion: 1, rawLeaves: true, pin: false })
    assert.equal(v1.cid.toString(), 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e')
    const added = await all(ipfs.addAll([
      { path: 'folder/a', content: text('a') }, { path: 'folder/below/b', content: text('b') }
    ], { wrapWithDirectory: true }))
    assert.deepEqual(added.map(({ path }) => path).sort(), ['', 'folder', 'folder/a', 'folder/below', 'folder/below/b'])
    let last = 0
    const large = new Uint8Array(3_000_000)
    await ipfs.add(large, { progress: (done) => { last = done } })
    assert.equal(last, large.length)
    assert.notEqual((await ipfs.add('only a hash', { onlyHash: true })).cid.toString(), '')
  },

  async cat () {
    const { cid } = await ipfs.add('hello world')
    assert.equal((await bytes(ipfs.cat(cid))).toString(), 'hello world')
    assert.equal((await bytes(ipfs.cat(`/ipfs/${cid}`, { offset: 6, length: 3 }))).toString(), 'wor')
    const added = await all(ipfs.addAll([{ path: 'folder/a', content: text('a') }]))
    const folder = added.find(({ path }) => path === 'folder').cid
    await assert.rejects(() => bytes(ipfs.cat(folder)), /directory/)
  },

  async get () {
    const { cid } = await ipfs.add('hello world')
    const tar = await bytes(ipfs.get(cid))
    assert.equal(tar.subarray(257, 262).toString(), 'ustar')
    assert.equal(tar.subarray(512, 523).toString(), 'hello world')
  },

  async ls () {
    const added = await all(ipfs.addAll([{ path: 'd/one', content: text('1') }, { path: 'd/two', content: text('22') }]))
    const root = added.find(({ path }) => path === 'd').cid
    const listed = await all(ipfs.ls(root))
    assert.deepEqual(listed.map(({ name, size, type }) => [name, size, type]), [['one', 1, 'file'], ['two', 2, 'file']])
    const references = await all(ipfs.refs(root, { recursive: true }))
    assert.equal(references.length, 2)
    assert.ok((await all(ipfs.refs.local())).length > 2)
    assert.equal(await ipfs.resolve(`/ipfs/${root}/one`), `/ipfs/${listed[0].cid}`)
  },

  async pin () {
    const { cid } = await ipfs.add('to be kept', { pin: false })
    assert.equal((await ipfs.pin.add(cid)).toString(), cid.toString())
    const pins = await all(ipfs.pin.ls({ paths: cid }))
    assert.deepEqual(pins.map(({ cid, type }) => [cid.toString(), type]), [[cid.toString(), 'recursive']])
    assert.ok((await all(ipfs.pin.ls({ type: 'recursive' }))).some((pin) => pin.cid.equals(cid)))
    assert.equal((await ipfs.pin.rm(cid)).toString(), cid.toString())
    await assert.rejects(() => ipfs.pin.rm(cid), /not pinned/)
    const many = await all(ipfs.pin.addAll([cid]))
    assert.equal(many.length, 1)
    await all(ipfs.pin.rmAll([cid]))
  },

  async block () {
    const cid = await ipfs.block.put(text('a block'))
    assert.equal(Buffer.from(await ipfs.block.get(cid)).toString(), 'a block')
    assert.deepEqual((await ipfs.block.stat(cid)).size, 7)
    const [removed] = await all(ipfs.block.rm(cid))
    assert.equal(removed.cid.toString(), cid.toString())
    assert.equal(removed.error, undefined)
    const [again] = await all(ipfs.block.rm(cid))
    assert.match(again.error.message, /not find/)
  },

  async dag () {
    const cid = await ipfs.dag.put({ hello: 'world', list: [1, 2, 3] })
    assert.match(cid.toString(), /^bafyrei/)
    assert.equal((await ipfs.dag.get(cid, { path: '/hello' })).value, 'world')
    const { cid: file } = await ipfs.add(new Uint8Array(600_000))
    const car = await bytes(ipfs.dag.export(file))
    const [{ root }] = await all(ipfs.dag.import([[car]]))
    assert.equal(root.cid.toString(), file.toString())
    assert.equal(root.pinErrorMsg, '')
    assert.equal((await ipfs.dag.resolve(`/ipfs/${cid}`)).cid.toString(), cid.toString())
  },

  async files () {
    await ipfs.files.mkdir('/tree/below', { parents: true })
    await ipfs.files.write('/tree/below/note', text('hello there'), { create: true })
    await ipfs.files.write('/tree/below/note', text('HERE'), { offset: 6 })
    assert.equal((await bytes(ipfs.files.read('/tree/below/note'))).toString(), 'hello HEREe')
    assert.equal((await bytes(ipfs.files.read('/tree/below/note', { offset: 6, length: 4 }))).toString(), 'HERE')
    const { cid } = await ipfs.add('hello world', { pin: false })
    await ipfs.files.cp(`/ipfs/${cid}`, '/tree/copy')
    await ipfs.files.mv('/tree/copy', '/tree/below/moved')
    const stat = await ipfs.files.stat('/tree/below/moved')
    assert.equal(stat.cid.toString(), cid.toString())
    assert.deepEqual([stat.size, stat.type], [11, 'file'])
    const listed = await all(ipfs.files.ls('/tree/below'))
    assert.deepEqual(listed.map(({ name, type, size }) => [name, type, size]).sort(), [['moved', 'file', 11], ['note', 'file', 11]])
    const flushed = await ipfs.files.flush('/tree')
    assert.equal(flushed.toString(), (await ipfs.files.stat('/tree', { hash: true })).cid.toString())
    await ipfs.files.rm('/tree', { recursive: true })
    await assert.rejects(() => ipfs.files.stat('/tree'), /does not exist/)
  },

  async swarm () {
    await ipfs.swarm.connect(peer)
    const id = peer.split('/').pop()
    const peers = await ipfs.swarm.peers()
    assert.ok(peers.some((other) => other.peer.toString() === id))
    assert.ok((await ipfs.swarm.addrs()).length > 0)
    assert.ok((await ipfs.swarm.localAddrs()).length > 0)
    assert.ok((await all(ipfs.ping(id, { count: 1 }))).length > 0)
    await ipfs.swarm.disconnect(`/p2p/${id}`)
  },

  async repo () {
    const { cid } = await ipfs.add('to be collected', { pin: false })
    const { numObjects, repoPath } = await ipfs.repo.stat()
    assert.ok(numObjects > 0n && repoPath.length > 0)
    assert.ok(Number(await ipfs.repo.version()) > 0)
    const removed = await all(ipfs.repo.gc())
    assert.ok(removed.some((one) => one.cid.toString() === cid.toV1().toString() || Buffer.compare(one.cid.multihash.bytes, cid.multihash.bytes) === 0))
    assert.ok((await all(ipfs.stats.bw())).length === 1)
  },

  async others () {
    assert.ok((await ipfs.commands()).Subcommands.length > 10)
    assert.ok(await ipfs.config.getAll())
    assert.deepEqual((await ipfs.bootstrap.list()).Peers, [])
    assert.equal((await ipfs.diag.sys()).ipfs_version, '0.43.0')
    assert.ok((await ipfs.log.ls()).length > 0)
    await ipfs.log.level('all', 'error')
  }
}

for (const [name, part] of Object.entries(parts)) {
  try {
    await part()
    console.log(`${name} works`)
  } catch (error) {
    console.error(`${name}:`, error)
    process.exit(1)
  }
}
