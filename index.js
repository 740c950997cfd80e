// Generated from ts/ by `npm run build:ts`. Do not edit.
"use strict";
var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from))
      if (!__hasOwnProp.call(to, key) && key !== except)
        __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);

// ts/index.ts
var index_exports = {};
__export(index_exports, {
  AlreadyExpiredError: () => AlreadyExpiredError,
  ClosedError: () => ClosedError,
  ConnectionError: () => ConnectionError,
  CorruptDataError: () => CorruptDataError,
  DynamoDBSagaStore: () => DynamoDBSagaStore,
  InvalidArgumentError: () => InvalidArgumentError,
  MemorySagaStore: () => MemorySagaStore,
  MongoSagaStore: () => MongoSagaStore,
  NotFoundError: () => NotFoundError,
  PayloadTooLargeError: () => PayloadTooLargeError,
  PostgresSagaStore: () => PostgresSagaStore,
  RedisSagaStore: () => RedisSagaStore,
  SagaStore: () => SagaStore,
  SagaStoreError: () => SagaStoreError,
  SqliteSagaStore: () => SqliteSagaStore,
  TimeoutError: () => TimeoutError,
  UnsupportedError: () => UnsupportedError,
  openStore: () => openStore
});
module.exports = __toCommonJS(index_exports);

// ts/errors.ts
var SagaStoreError = class extends Error {
  constructor(failure) {
    super(describe(failure), failure.causes.length > 0 ? { cause: chain(failure.causes) } : void 0);
    this.name = new.target.name;
    this.code = failure.code;
    if (failure.backend !== void 0) this.backend = failure.backend;
    if (failure.operation !== void 0) this.operation = failure.operation;
    if (failure.id !== void 0) this.id = failure.id;
    this.retryable = failure.retryable;
    Object.assign(this, failure.details);
  }
};
var NotFoundError = class extends SagaStoreError {
};
var PayloadTooLargeError = class extends SagaStoreError {
};
var AlreadyExpiredError = class extends SagaStoreError {
};
var InvalidArgumentError = class extends SagaStoreError {
};
var ConnectionError = class extends SagaStoreError {
};
var TimeoutError = class extends SagaStoreError {
};
var CorruptDataError = class extends SagaStoreError {
};
var UnsupportedError = class extends SagaStoreError {
};
var ClosedError = class extends SagaStoreError {
};
var classes = {
  NOT_FOUND: NotFoundError,
  PAYLOAD_TOO_LARGE: PayloadTooLargeError,
  ALREADY_EXPIRED: AlreadyExpiredError,
  INVALID_ARGUMENT: InvalidArgumentError,
  CONNECTION: ConnectionError,
  TIMEOUT: TimeoutError,
  CORRUPT_DATA: CorruptDataError,
  UNSUPPORTED: UnsupportedError,
  CLOSED: ClosedError
};
function describe(failure) {
  const where = [failure.backend, failure.operation].filter((part) => part !== void 0).join(" ");
  const which = failure.id === void 0 ? "" : ` '${failure.id.length > 80 ? `${failure.id.slice(0, 80)}\u2026` : failure.id}'`;
  return where === "" ? failure.message : `${where}${which}: ${failure.message}`;
}
function chain(causes) {
  return causes.reduceRight((cause, message) => new Error(message, { cause }), void 0);
}
function toError(reason) {
  if (typeof reason !== "object" || reason === null || !("code" in reason) || !("causes" in reason)) return reason;
  const failure = reason;
  return new (classes[failure.code] ?? SagaStoreError)(failure);
}
function raise(reason) {
  throw toError(reason);
}
function invalidArgument(message, operation, backend) {
  return new InvalidArgumentError({
    code: "INVALID_ARGUMENT",
    message,
    operation,
    backend,
    retryable: false,
    causes: [],
    details: {}
  });
}

// ts/stores.ts
var import_node_util = require("node:util");
var import_node_worker_threads = require("node:worker_threads");

// ts/native.ts
var packaged = ["linux-x64-gnu", "linux-arm64-gnu", "linux-x64-musl", "linux-arm64-musl", "darwin-x64", "darwin-arm64", "win32-x64-msvc"];
var native = load();
function load() {
  let binding;
  try {
    binding = require("./native.js");
  } catch (error) {
    throw new Error(describe2(causesOf(error)), { cause: error });
  }
  if (typeof binding.NativeStore !== "function") throw new Error(describe2(["what was loaded is not the addon of sagastore"]));
  return binding;
}
function describe2(causes) {
  const target = platformTarget();
  const file = `sagastore.${target}.node`;
  const name = `sagastore-${target}`;
  const broken = causes.filter((cause) => !/^Cannot find module '(\.\/sagastore\.|sagastore-)/.test(cause));
  const absent = `neither is there (Cannot find module '${name}')`;
  let looked = `Looked for the package ${name} and for the file ${file} in ${__dirname}.`;
  let advice;
  const { NAPI_RS_NATIVE_LIBRARY_PATH: override, NAPI_RS_WASI_FLAVOR: flavor, NAPI_RS_FORCE_WASI: wasi } = process.env;
  if (flavor || wasi === "error") {
    looked = `Looked for a WebAssembly build only, because ${flavor ? "NAPI_RS_WASI_FLAVOR" : "NAPI_RS_FORCE_WASI"} is set; sagastore has none.`;
    advice = `Unset it, and the package ${name} (file ${file}) is used.`;
  } else if (override) {
    looked = `Looked for ${override} only, because NAPI_RS_NATIVE_LIBRARY_PATH is set.`;
    advice = `Unset it, and the package ${name} (file ${file}) is used.`;
  } else if (!packaged.includes(target)) {
    advice = `There is no package for ${target}. There are packages for ${packaged.join(", ")}.`;
  } else if (broken.length > 0) {
    advice = "The file is there, but it is damaged or made for another system (another libc, or a newer one): install the dependencies again, on this machine.";
  } else {
    advice = `${name} is an optional dependency. It is left out by --omit=optional, by a lockfile or a node_modules folder made on another platform, and by a bundle without it: install it in the same version as sagastore.`;
  }
  return [
    `sagastore: the native addon for ${target} cannot be loaded (Node.js ${process.versions.node}).`,
    looked,
    `Cause: ${broken.length > 0 ? [...new Set(broken)].join("; ") : absent}`,
    advice
  ].join("\n");
}
function causesOf(error) {
  const causes = [];
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const line = cause.message.split("\n", 1)[0] ?? "";
    if (!line.startsWith("Cannot find native binding")) causes.unshift(line);
  }
  return causes;
}
function platformTarget() {
  const { platform, arch } = process;
  if (platform === "linux") return `linux-${arch}-${isMusl() ? "musl" : "gnu"}`;
  if (platform === "win32") return `win32-${arch}-msvc`;
  return `${platform}-${arch}`;
}
function isMusl() {
  const report = process.report;
  if (!report?.getReport) return false;
  report.excludeNetwork = true;
  const { header } = report.getReport();
  return header !== void 0 && header.glibcVersionRuntime === void 0;
}

// ts/observe.ts
var import_node_diagnostics_channel = require("node:diagnostics_channel");
var channel = (0, import_node_diagnostics_channel.tracingChannel)("sagastore:operation");
function isTraced() {
  const { start, end, asyncStart, asyncEnd, error } = channel;
  return start.hasSubscribers || end.hasSubscribers || asyncStart.hasSubscribers || asyncEnd.hasSubscribers || error.hasSubscribers;
}
var SYSTEM_NAMES = {
  memory: "sagastore.memory",
  sqlite: "sqlite",
  postgres: "postgresql",
  redis: "redis",
  mongodb: "mongodb",
  dynamodb: "aws.dynamodb"
};
var Observer = class {
  #backend;
  #address;
  #log;
  #isDebugEnabled;
  constructor(backend, url, logger) {
    this.#backend = backend;
    this.#address = addressOf(url);
    const chosen = logger === void 0 ? stderrLogger() : checked(logger);
    this.#log = chosen === void 0 ? {} : writers(chosen);
    this.#isDebugEnabled = debugGate(chosen);
  }
  /** Whether anybody wants to know about an operation that succeeds. */
  get isActive() {
    return this.#log.error !== void 0 || isTraced();
  }
  /** Runs an operation and tells what came of it. */
  watch(subject, start) {
    return isTraced() ? this.#trace(subject, start) : this.#logged(subject, start);
  }
  /** Something that works in a lesser way than it could. */
  warn(operation, message) {
    this.#log.warn?.(`sagastore ${operation}: ${message}`, { backend: this.#backend, operation });
  }
  #trace(subject, start) {
    const context = {
      operation: subject.operation,
      backend: this.#backend,
      attributes: {
        "db.system.name": SYSTEM_NAMES[this.#backend],
        "db.operation.name": subject.operation,
        ...this.#address
      }
    };
    if (subject.id !== void 0) context.id = subject.id;
    const routingSlipId = routingSlipIdOf(subject);
    if (routingSlipId !== void 0) context.routingSlipId = routingSlipId;
    if (subject.bytes !== void 0) context.bytes = subject.bytes;
    if (subject.batchSize !== void 0) context.attributes["db.operation.batch.size"] = subject.batchSize;
    return channel.tracePromise(async () => {
      try {
        const result = await this.#logged(subject, start);
        const bytes = bytesOf(result);
        if (bytes !== void 0) context.bytes = bytes;
        return result;
      } catch (error) {
        if (error instanceof SagaStoreError) context.attributes["error.type"] = error.code;
        throw error;
      }
    }, context);
  }
  async #logged(subject, start) {
    const began = performance.now();
    try {
      const result = await start();
      if (this.#isDebugEnabled()) {
        const fields = this.#fields(subject, began);
        const bytes = bytesOf(result);
        if (bytes !== void 0) fields.bytes = bytes;
        this.#log.debug?.(`sagastore ${subject.operation}`, fields);
      }
      return result;
    } catch (reason) {
      const error = toError(reason);
      const level = error instanceof SagaStoreError && error.code === "NOT_FOUND" ? "warn" : "error";
      const write = this.#log[level];
      if (write !== void 0) {
        const fields = this.#fields(subject, began);
        if (error instanceof SagaStoreError) {
          fields.code = error.code;
          fields.retryable = error.retryable;
        }
        write(`sagastore ${subject.operation} failed: ${error instanceof Error ? error.message : String(error)}`, fields);
      }
      throw error;
    }
  }
  #fields(subject, began) {
    const fields = { backend: this.#backend, operation: subject.operation };
    if (subject.id !== void 0) fields.id = subject.id;
    const routingSlipId = routingSlipIdOf(subject);
    if (routingSlipId !== void 0) fields.routingSlipId = routingSlipId;
    if (subject.bytes !== void 0) fields.bytes = subject.bytes;
    if (subject.batchSize !== void 0) fields.batchSize = subject.batchSize;
    fields.durationMs = Math.round((performance.now() - began) * 1e3) / 1e3;
    return fields;
  }
};
var CLAIM_ID = /^slip-(.+)-\d+$/;
function routingSlipIdOf(subject) {
  return subject.routingSlipId ?? (typeof subject.id === "string" ? CLAIM_ID.exec(subject.id)?.[1] : void 0);
}
function bytesOf(result) {
  return result instanceof Uint8Array ? result.byteLength : void 0;
}
function addressOf(url) {
  if (!URL.canParse(url)) return {};
  const { protocol, hostname, port, searchParams } = new URL(url);
  const address = {};
  if (protocol === "dynamodb:") {
    if (hostname !== "") address["cloud.region"] = hostname;
    return { ...address, ...addressOf(searchParams.get("endpoint") ?? "") };
  }
  if (hostname !== "") address["server.address"] = hostname;
  if (port !== "") address["server.port"] = Number(port);
  return address;
}
var LEVELS = ["debug", "info", "warn", "error"];
function checked(logger) {
  const missing = LEVELS.filter((level) => typeof logger?.[level] !== "function");
  if (missing.length > 0)
    throw invalidArgument(`option 'logger' must have the methods ${LEVELS.join(", ")}; missing: ${missing.join(", ")}`);
  return logger;
}
function writers(logger) {
  const fieldsFirst = "bindings" in logger;
  const writer = (level) => {
    const write = logger[level];
    return fieldsFirst ? (message, fields) => write.call(logger, fields, message) : (message, fields) => write.call(logger, message, fields);
  };
  return { debug: writer("debug"), info: writer("info"), warn: writer("warn"), error: writer("error") };
}
function debugGate(logger) {
  if (logger === void 0) return () => false;
  const asked = logger.isLevelEnabled;
  return typeof asked === "function" ? () => asked.call(logger, "debug") : () => true;
}
function stderrLogger() {
  const least = LEVELS.indexOf((process.env.SAGASTORE_LOG ?? "").toLowerCase());
  if (least < 0) return void 0;
  const at = (level) => (message, fields) => {
    if (LEVELS.indexOf(level) < least) return;
    process.stderr.write(`${(/* @__PURE__ */ new Date()).toISOString()} ${level.toUpperCase().padStart(5)} ${message} ${JSON.stringify(fields)}
`);
  };
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    isLevelEnabled: (level) => LEVELS.indexOf(level) >= least
  };
}

// ts/stores.ts
var COPIED_BYTES = 4096;
var SagaStore = class {
  /** Which backend it is. */
  backend;
  #native;
  #observer;
  /** @internal */
  constructor(backend, options) {
    const { logger, ...rest } = typeof options === "string" ? { url: options } : asObject(options);
    const opened = native.NativeStore.open(backend, JSON.stringify(rest, jsonValue), setImmediate, import_node_worker_threads.isMainThread);
    if (!(opened instanceof native.NativeStore)) throw toError(opened);
    this.#native = opened;
    this.backend = opened.backend;
    this.#observer = new Observer(this.backend, opened.url, logger);
  }
  /** What this backend can do. */
  get capabilities() {
    return this.#native.capabilities;
  }
  /**
   * Stores a payload, replacing data and expiry of an earlier one together. Once it has resolved,
   * a `get` of any process sees it; if it rejects, the event must not be emitted.
   *
   * @param id the claim id: 1 to 1,024 bytes of UTF-8
   * @param data the payload; it must not be changed before the promise has settled
   * @param expiresAt when it ceases to exist; never, if left out. A time that has passed already
   *   (a saga that timed out and still has to compensate) is kept for `lateRetentionMs`
   * @throws PayloadTooLargeError, AlreadyExpiredError, InvalidArgumentError, ConnectionError, TimeoutError
   */
  put(id, data, expiresAt, options) {
    if (!this.#observer.isActive) return this.#native.put(id, unshared(data), expiresAt).then(void 0, raise);
    const subject = { operation: "put", id, bytes: data?.byteLength, routingSlipId: options?.routingSlipId };
    return this.#watch(subject, () => this.#native.put(id, unshared(data), expiresAt));
  }
  /**
   * The payload.
   *
   * @throws NotFoundError if there is none, or if its time is over
   */
  get(id) {
    if (!this.#observer.isActive) return this.#native.get(id).then(void 0, raise);
    return this.#watch({ operation: "get", id }, () => this.#native.get(id));
  }
  /** The payload, or null if there is none. */
  find(id) {
    return this.#run({ operation: "find", id }, () => this.#native.find(id));
  }
  /** Whether there is a payload. */
  has(id) {
    return this.#run({ operation: "has", id }, () => this.#native.has(id));
  }
  /** Removes a payload; whether there was one. */
  delete(id) {
    return this.#run({ operation: "delete", id }, () => this.#native.delete(id));
  }
  /** Sets another expiry, under the same rules as `put`; whether there was a payload. */
  touch(id, expiresAt) {
    return this.#run({ operation: "touch", id }, () => this.#native.touch(id, expiresAt));
  }
  /**
   * Stores several payloads. Resolves when all are stored; rejects if one is not, and then the
   * others may be. Nothing is sent if one of them is invalid.
   */
  putMany(entries) {
    const list = listed(entries);
    if (list === void 0) return Promise.reject(invalidArgument("putMany takes an iterable of entries", "putMany", this.backend));
    return this.#run(
      { operation: "putMany", batchSize: list.length },
      () => this.#native.putMany(
        list.map((entry) => entry?.id),
        list.map((entry) => unshared(entry?.data)),
        list.map((entry) => entry?.expiresAt)
      )
    );
  }
  /** The payloads of several ids; an id without one is not in the map. */
  getMany(ids) {
    const list = listed(ids);
    if (list === void 0) return Promise.reject(invalidArgument("getMany takes an iterable of ids", "getMany", this.backend));
    return this.#run({ operation: "getMany", batchSize: list.length }, async () => {
      const found = /* @__PURE__ */ new Map();
      const payloads = await this.#native.getMany(list);
      list.forEach((id, index) => {
        const payload = payloads[index];
        if (payload != null) found.set(id, payload);
      });
      return found;
    });
  }
  /**
   * Removes payloads whose time is over, in bounded batches, at most `limit` of them; answers how
   * many. Where the server removes them by itself (Redis) there is nothing to do. DynamoDB removes
   * them too, within days; this call reads the whole table to find the others, and is charged for it:
   * one read unit for every 4 KB stored, and a write unit for every KB removed.
   */
  purgeExpired(options = {}) {
    const limit = options.limit ?? Number.POSITIVE_INFINITY;
    if (limit !== Number.POSITIVE_INFINITY && !(Number.isSafeInteger(limit) && limit > 0)) {
      return Promise.reject(invalidArgument("limit must be a whole number above 0", "purgeExpired", this.backend));
    }
    return this.#run({ operation: "purgeExpired" }, () => this.#native.purgeExpired(limit));
  }
  /** Removes all payloads whose time is over. */
  async cleanup() {
    await this.purgeExpired();
  }
  /** Creates tables and indexes where they are missing. Safe to call from many processes at once. */
  async initialize() {
    const warnings = await this.#run({ operation: "initialize" }, () => this.#native.initialize());
    for (const warning of warnings) this.#observer.warn("initialize", warning);
  }
  /** Whether the store can be used. Never rejects; takes at most five seconds. */
  async health() {
    const health = await this.#native.health();
    return { ...health, backend: this.backend };
  }
  /**
   * What is stored, the state of the connections, and latencies since the store was opened.
   * Counting reads the whole table (DynamoDB charges for that, as for `purgeExpired`), or on Redis all
   * keys of the database.
   */
  async statistics() {
    const statistics = await this.#run({ operation: "statistics" }, () => this.#native.statistics());
    return { backend: this.backend, ...statistics };
  }
  /** Answers what is under way, then lets go of the connections. Safe to call again. */
  close() {
    return this.#native.close().then(void 0, raise);
  }
  /** `await using store = openStore(...)` */
  async [Symbol.asyncDispose]() {
    await this.close();
  }
  /** What `console.log` shows: no password. */
  [import_node_util.inspect.custom]() {
    return `${this.constructor.name} { url: '${this.#native.url}' }`;
  }
  #run(subject, start) {
    return this.#observer.isActive ? this.#watch(subject, start) : start().then(void 0, raise);
  }
  #watch(subject, start) {
    return this.#observer.watch(subject, () => start().then(void 0, raise));
  }
};
var MemorySagaStore = class extends SagaStore {
  constructor(options = "memory://") {
    super("memory", typeof options === "string" ? options : { url: "memory://", ...asObject(options) });
  }
};
var SqliteSagaStore = class extends SagaStore {
  constructor(options) {
    super("sqlite", options);
  }
};
var PostgresSagaStore = class extends SagaStore {
  constructor(options) {
    super("postgres", options);
  }
};
var RedisSagaStore = class extends SagaStore {
  constructor(options) {
    super("redis", options);
  }
};
var MongoSagaStore = class extends SagaStore {
  constructor(options) {
    super("mongodb", options);
  }
};
var DynamoDBSagaStore = class extends SagaStore {
  constructor(options) {
    super("dynamodb", options);
  }
};
var classes2 = {
  memory: MemorySagaStore,
  sqlite: SqliteSagaStore,
  postgres: PostgresSagaStore,
  redis: RedisSagaStore,
  mongodb: MongoSagaStore,
  dynamodb: DynamoDBSagaStore
};
function openStore(options) {
  const url = typeof options === "string" ? options : asObject(options).url;
  if (typeof url !== "string" || url === "") throw invalidArgument("openStore takes a connection string or options with 'url'", "open");
  const backend = native.backendOf(url);
  if (typeof backend !== "string") throw toError(backend);
  return new classes2[backend](options);
}
function asObject(options) {
  if (typeof options !== "object" || options === null) throw invalidArgument("a store takes a connection string or options", "open");
  return options;
}
function jsonValue(_name, value) {
  const isLost = typeof value === "function" || typeof value === "symbol" || typeof value === "bigint";
  return isLost || typeof value === "number" && !Number.isFinite(value) ? false : value;
}
function listed(values) {
  if (typeof values === "string" || typeof values?.[Symbol.iterator] !== "function") return void 0;
  return Array.isArray(values) ? values : Array.from(values);
}
function unshared(data) {
  if (!(data instanceof Uint8Array) || data.byteLength <= COPIED_BYTES) return data;
  const memory = data.buffer;
  return memory.resizable === true || memory instanceof SharedArrayBuffer ? Uint8Array.prototype.slice.call(data) : data;
}
// Annotate the CommonJS export names for ESM import in node:
0 && (module.exports = {
  AlreadyExpiredError,
  ClosedError,
  ConnectionError,
  CorruptDataError,
  DynamoDBSagaStore,
  InvalidArgumentError,
  MemorySagaStore,
  MongoSagaStore,
  NotFoundError,
  PayloadTooLargeError,
  PostgresSagaStore,
  RedisSagaStore,
  SagaStore,
  SagaStoreError,
  SqliteSagaStore,
  TimeoutError,
  UnsupportedError,
  openStore
});
