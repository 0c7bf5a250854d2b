// A program that is running in a guest when a snapshot of it is taken. It answers each datagram with what it sees and
// draws at that moment, holds a TCP connection, writes to the disk and prints on the console, all the while.
// Arguments: gateway, UDP port to answer on, TCP port of the gateway, a nonce that only this process's memory holds,
// the file to write.
const crypto = require("crypto");
const dgram = require("dgram");
const fs = require("fs");
const net = require("net");

const [gateway, answerPort, peerPort, nonce, path] = process.argv.slice(2);
const INTERVAL_MS = 50;
const urandom = fs.openSync("/dev/urandom", "r");
const console_ = fs.openSync("/dev/console", "w");
const disk = fs.openSync(path, "a");
const seen = { count: 0, synced: 0, connections: 0, lost: null };
// What Node.js draws ahead of need, it has drawn now.
crypto.randomUUID();
crypto.randomBytes(1);

function connect() {
  const socket = net.connect(peerPort, gateway, () => (seen.connections += 1));
  const writing = setInterval(() => socket.write(`${nonce} ${seen.count}\n`), INTERVAL_MS);
  socket.on("error", (error) => (seen.lost = error.code));
  socket.on("close", () => {
    clearInterval(writing);
    setTimeout(connect, INTERVAL_MS);
  });
}

function count() {
  seen.count += 1;
  fs.writeSync(console_, `agent ${nonce} counts ${seen.count}\n`);
  fs.writeSync(disk, `${seen.count}\n`);
  fs.fsync(disk, () => {
    seen.synced = seen.count;
    setTimeout(count, INTERVAL_MS);
  });
}

const socket = dgram.createSocket("udp4");
socket.on("message", (token, peer) => {
  const bytes = Buffer.alloc(16);
  fs.readSync(urandom, bytes);
  const answer = {
    token: token.toString(),
    nonce,
    pid: process.pid,
    ...seen,
    urandom: bytes.toString("hex"),
    random_bytes: crypto.randomBytes(16).toString("hex"),
    uuid: crypto.randomUUID(),
    web_uuid: globalThis.crypto.randomUUID(),
    wall_s: Date.now() / 1000,
    monotonic_s: Number(process.hrtime.bigint()) / 1e9,
    uptime_s: Number(fs.readFileSync("/proc/uptime", "utf8").split(" ")[0]),
  };
  socket.send(JSON.stringify(answer), peer.port, peer.address);
});
socket.bind(answerPort, () => fs.writeSync(console_, `agent ${nonce} is there\n`));
connect();
count();
