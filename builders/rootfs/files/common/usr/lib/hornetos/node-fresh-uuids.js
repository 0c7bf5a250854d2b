// Loaded into every Node.js by NODE_OPTIONS. crypto.randomUUID() draws the random bytes of 128 UUIDs ahead; a process
// that a snapshot holds would give the same ones in every clone. Here each UUID draws its own.
const crypto = require("crypto");
const { randomUUID } = crypto;

crypto.randomUUID = (options) => randomUUID({ ...options, disableEntropyCache: true });
crypto.webcrypto.constructor.prototype.randomUUID = () => randomUUID({ disableEntropyCache: true });
require("module").syncBuiltinESMExports();
