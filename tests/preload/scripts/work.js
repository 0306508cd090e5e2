// Buffers, zlib, JSON, worker threads, streams, child processes, typed arrays and collection on request.
'use strict';
const {Worker, isMainThread, parentPort, workerData} = require('worker_threads');
const crypto = require('crypto');
const zlib = require('zlib');
const {execFileSync} = require('child_process');
const {pipeline, Readable, Transform} = require('stream');
const {promisify} = require('util');

let state = 7;
const random = (n) => { state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff; return (state >>> 16) % n; };
const word = () => Array.from({length: 1 + random(20)}, () => String.fromCharCode(97 + random(8))).join('');
const sha = (data) => crypto.createHash('sha256').update(data).digest('hex');

function buffers() {
  let hash = crypto.createHash('sha256');
  const kept = [];
  for (let i = 0; i < 20000; i++) {
    const size = 1 + random(4000) * (i % 100 === 0 ? 100 : 1);
    const buffer = Buffer.allocUnsafeSlow(size).fill(i & 255);
    if (i % 50 === 0) kept.push(buffer);
    hash.update(buffer.subarray(0, 64));
  }
  console.log('buffers', hash.digest('hex'), sha(Buffer.concat(kept)));
  const doubles = new Float64Array(2_000_000).map((_, i) => Math.sqrt(i));
  console.log('typed', doubles.reduce((a, b) => a + b, 0).toFixed(3),
    new Uint8Array(doubles.buffer.slice(0, 1 << 20)).length);
}

function documents() {
  const rows = Array.from({length: 15000},
    (_, id) => ({id, name: word(), tags: Array.from({length: random(6)}, word), x: id / 7}));
  const text = JSON.stringify(rows);
  const again = JSON.stringify(JSON.parse(JSON.stringify(JSON.parse(text), null, 1)));
  console.log('json', text.length, sha(again), structuredClone(rows).length);
  const groups = new Map();
  for (const row of rows) groups.set(row.name.slice(0, 2), (groups.get(row.name.slice(0, 2)) || 0) + row.tags.length);
  console.log('groups', sha(JSON.stringify([...groups].sort())));
  return Buffer.from(text);
}

async function compression(data) {
  const deflate = promisify(zlib.deflate), inflate = promisify(zlib.inflate);
  const gzip = promisify(zlib.gzip), gunzip = promisify(zlib.gunzip);
  const brotli = promisify(zlib.brotliCompress), unbrotli = promisify(zlib.brotliDecompress);
  const jobs = [];
  for (let level = 1; level <= 9; level++) {
    const part = data.subarray(level * 1000);
    jobs.push(deflate(part, {level}).then(async (p) => [p.length, (await inflate(p)).equals(part)]));
    jobs.push(gzip(part, {level}).then(async (p) => [p.length, (await gunzip(p)).equals(part)]));
  }
  jobs.push(brotli(data, {params: {[zlib.constants.BROTLI_PARAM_QUALITY]: 5}})
    .then(async (p) => [p.length, (await unbrotli(p)).equals(data)]));
  console.log('zlib', JSON.stringify(await Promise.all(jobs)));
  const chunks = [];
  await promisify(pipeline)(
    Readable.from((function* () { for (let i = 0; i < data.length; i += 7001) yield data.subarray(i, i + 7001); })()),
    zlib.createGzip(), zlib.createGunzip(),
    new Transform({transform(chunk, _, done) { chunks.push(Buffer.from(chunk)); done(); }}));
  console.log('stream', sha(Buffer.concat(chunks)));
}

function inWorker() {
  const map = new Map();
  for (let i = 0; i < 40000; i++) map.set(`${workerData.id}-${i % 5000}`, Buffer.alloc(1 + i % 200, i & 255));
  const result = new Uint8Array(300000).fill(workerData.id);
  new Int32Array(workerData.shared)[workerData.id] = map.size;
  parentPort.postMessage({id: workerData.id, hash: sha(Buffer.concat([...map.values()])), result}, [result.buffer]);
}

async function workers() {
  const shared = new SharedArrayBuffer(64);
  for (let round = 0; round < 3; round++) {
    const results = await Promise.all(Array.from({length: 4}, (_, id) => new Promise((resolve, reject) => {
      let message;
      new Worker(__filename, {workerData: {id, shared}}).on('message', (m) => { message = m; }).on('error', reject)
        .on('exit', (code) => resolve(`${message.id} ${message.hash.slice(0, 16)} ${message.result.length} ${code}`));
    })));
    console.log('workers', results.join(', '), [...new Int32Array(shared).slice(0, 4)].join());
  }
}

function cryptography(data) {
  const key = crypto.pbkdf2Sync('lane', 'salt', 20000, 32, 'sha256');
  const cipher = crypto.createCipheriv('aes-256-gcm', key, Buffer.alloc(12));
  const sealed = Buffer.concat([cipher.update(data), cipher.final()]);
  const {publicKey, privateKey} = crypto.generateKeyPairSync('rsa', {modulusLength: 2048});
  const signature = crypto.sign('sha256', data, privateKey);
  console.log('crypto', sha(sealed), cipher.getAuthTag().toString('hex'),
    crypto.verify('sha256', data, publicKey, signature));
}

async function main() {
  buffers();
  const data = documents();
  await compression(data);
  await workers();
  cryptography(data);
  for (let i = 0; i < 3; i++) global.gc();
  console.log('child', execFileSync(process.execPath, ['-p', '"x".repeat(1e6).length'], {encoding: 'utf8'}).trim());
  buffers();
}

isMainThread ? main() : inWorker();
