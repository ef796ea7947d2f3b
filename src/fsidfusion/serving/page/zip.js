/** A ZIP archive, stored: pictures are packed already. */

const TABLE = Uint32Array.from({ length: 256 }, (_, value) => {
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? 0xEDB88320 ^ (value >>> 1) : value >>> 1;
  return value >>> 0;
});

function crc(bytes) {
  let sum = 0xFFFFFFFF;
  for (const byte of bytes) sum = TABLE[(sum ^ byte) & 255] ^ (sum >>> 8);
  return (sum ^ 0xFFFFFFFF) >>> 0;
}

/** Numbers of 2 or 4 bytes, little endian: [size, value] each. */
function packed(...fields) {
  const bytes = new Uint8Array(fields.reduce((sum, [size]) => sum + size, 0)), view = new DataView(bytes.buffer);
  let at = 0;
  for (const [size, value] of fields) {
    if (size === 2) view.setUint16(at, value, true); else view.setUint32(at, value, true);
    at += size;
  }
  return bytes;
}

/** [name, bytes] of each file, to the parts of an archive. */
export function zipped(files) {
  const parts = [], index = [];
  let offset = 0;
  for (const [name, bytes] of files) {
    const text = new TextEncoder().encode(name);
    const common = [[2, 20], [2, 0x0800], [2, 0], [2, 0], [2, 0x21], [4, crc(bytes)], [4, bytes.length], [4, bytes.length], [2, text.length], [2, 0]];
    const head = packed([4, 0x04034B50], ...common);
    index.push(packed([4, 0x02014B50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]), text);
    parts.push(head, text, bytes);
    offset += head.length + text.length + bytes.length;
  }
  const size = index.reduce((sum, part) => sum + part.length, 0);
  parts.push(...index, packed([4, 0x06054B50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, offset], [2, 0]));
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) { whole.set(part, at); at += part.length; }
  return whole;
}
