// Buffers, compression, hashes and JSON: work.js ROUNDS. Prints a checksum. V8's own heap is not malloc's; buffers are.
const crypto = require('crypto');
const zlib = require('zlib');

let state = 12345;
const random = (below) => {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return (state >>> 8) % below;
};

let total = 0;
const kept = [];
for (let round = 0; round < Number(process.argv[2]); round++) {
  const parts = [];
  for (let i = 0; i < 400; i++) {
    const block = Buffer.alloc(100 + random(20000), `${round}:${i};`);
    parts.push(block);
    if (i % 40 === 0) kept[random(200)] = block;
  }
  const whole = Buffer.concat(parts);
  const packed = zlib.deflateSync(whole, { level: 1 });
  total += zlib.inflateSync(packed).length + packed.length;
  for (let i = 0; i < 300; i++) {
    total += crypto.createHash('sha256').update(parts[i].subarray(0, 200)).digest()[0];
    total += zlib.gunzipSync(zlib.gzipSync(parts[i].subarray(0, 300))).length;
  }
  total += JSON.parse(JSON.stringify(parts.map((part) => part.toString('latin1', 0, 50)))).length;
}
console.log(total);
