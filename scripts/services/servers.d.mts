/// <reference types="node" />

/** What every server has. `start` keeps port and data, whichever way the server was stopped before. */
export interface TestServer extends AsyncDisposable {
  readonly url: string
  readonly host: string
  readonly port: number
  /** Undefined while the server does not run, and in Docker. */
  readonly pid: number | undefined
  /** Again, after `kill` or `stop`. Resolves when the server is ready. */
  start(): Promise<void>
  /** Freezes the server (SIGSTOP): connections stay open, nothing answers. */
  pause(): Promise<void>
  resume(): Promise<void>
  /** Stops the server and deletes its data. Happens by itself at the end of the process. */
  remove(): Promise<void>
  /** The server's log, or its last lines. */
  log(lines?: number): string | Promise<string>
}

export interface RedisOptions {
  /** Of the user `default`. With `aclUser` and without `password`, that user is switched off. */
  password?: string | undefined
  /** A further user with all rights; the one in `url`. */
  aclUser?: { name: string; password: string } | undefined
  /** TLS only, with a certificate for localhost and 127.0.0.1 signed by the CA in `caFile`. */
  tls?: boolean | undefined
  /** Data survives `kill` and `stop`. */
  appendonly?: boolean | undefined
  /** As in redis.conf, such as '2mb'; writes beyond it are refused (noeviction). */
  maxmemory?: string | undefined
  /** Commands that the server does not have (`rename-command`). */
  withoutCommands?: string[] | undefined
  /** A master with the same password, and with `tls` as here; a `RedisServer` will do. */
  replicaOf?: { host: string; port: number; caFile?: string | undefined } | undefined
  port?: number | undefined
}

export interface RedisServer extends TestServer {
  readonly caFile: string | undefined
  /** SIGKILL by default. After a signal that ends processes, resolves when this one is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Orderly (SIGTERM). The data is gone unless `appendonly`. */
  stop(): Promise<void>
  /** One command on a connection of its own, such as `command('CONFIG', 'SET', 'maxmemory', '1mb')`. */
  // biome-ignore lint/suspicious/noExplicitAny: the reply's shape depends on the command
  command(...command: (string | number)[]): Promise<any>
}

export interface RedisSentinelOptions {
  /** Default 3. The quorum is a majority. */
  sentinels?: 1 | 3 | undefined
  /** Default 'mymaster'. */
  serviceName?: string | undefined
  /** Of the servers and of the sentinels. */
  password?: string | undefined
}

export interface RedisSentinel extends AsyncDisposable {
  /** `redis-sentinel://host:port?sentinelServiceName=...&node=host:port`, as fred reads it. */
  readonly url: string
  readonly serviceName: string
  /** The master at the start: it stays this server after a failover too. */
  readonly master: RedisServer
  readonly replica: RedisServer
  readonly sentinels: RedisServer[]
  /** Stops all of them and deletes their data. */
  stop(): Promise<void>
}

export interface RedisClusterOptions {
  /** Masters; default 3. */
  nodes?: number | undefined
  /** Replicas of each master; default 0. */
  replicas?: number | undefined
  password?: string | undefined
  appendonly?: boolean | undefined
}

export interface RedisCluster extends AsyncDisposable {
  /** `redis-cluster://host:port?node=host:port`, as fred reads it. */
  readonly url: string
  /** Masters first, in the order of their slots; then replica i follows master i modulo the number of masters. */
  readonly nodes: RedisServer[]
  /** Stops all of them and deletes their data. */
  stop(): Promise<void>
}

export interface PostgresOptions {
  /** Random by default. */
  password?: string | undefined
  /** Lines of postgresql.conf. */
  settings?: Record<string, string> | undefined
}

/** `immediate` is a crash: clients are cut off, and the next start recovers. */
export type PostgresStopMode = 'smart' | 'fast' | 'immediate'

export interface PostgresServer extends TestServer {
  /** A superuser. */
  readonly user: string
  readonly password: string
  readonly database: string
  /** SIGKILL to all of the server's processes; resolves when they are gone. */
  kill(): Promise<void>
  /** The data stays for `start`. Default 'fast'. */
  stop(mode?: PostgresStopMode): Promise<void>
  /** Default 'fast'. */
  restart(mode?: PostgresStopMode): Promise<void>
}

export interface PgBouncerOptions {
  /** URL of the PostgreSQL server behind it. */
  server: string
  /** Default 'transaction'. */
  poolMode?: 'session' | 'transaction' | 'statement' | undefined
  /** Connections to the server; default 4. */
  poolSize?: number | undefined
}

/** PgBouncer. Its user, password and database are those of the server behind it. */
export interface PgBouncerServer extends TestServer {
  /** SIGKILL by default. After a signal that ends processes, resolves when this one is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  stop(): Promise<void>
}

export interface DynamoDBOptions {
  port?: number | undefined
  /** Data survives `kill` and `stop`. */
  durable?: boolean | undefined
}

/** AWS's DynamoDB Local. It listens on all interfaces: it has no option to choose one. */
export interface DynamoDBServer extends TestServer {
  /** `dynamodb://local?endpoint=http://127.0.0.1:port`. */
  readonly url: string
  readonly endpoint: string
  /** Any will do; each access key and region has tables of its own. */
  readonly credentials: { accessKeyId: string; secretAccessKey: string }
  /** SIGKILL by default. After a signal that ends processes, resolves when this one is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Orderly (SIGTERM). The data is gone unless `durable`. */
  stop(): Promise<void>
}

export interface MongoOptions {
  port?: number | undefined
}

/** FerretDB on SQLite, which has no TTL indexes and no transactions; with Docker only, a MongoDB replica set of one. */
export interface MongoServer extends TestServer {
  /** SIGKILL by default. After a signal that ends processes, resolves when this one is gone. */
  kill(signal?: NodeJS.Signals): Promise<void>
  /** Orderly (SIGTERM). The data stays for `start`. */
  stop(): Promise<void>
}

/** A CA and a server certificate for localhost and 127.0.0.1, valid for a week. */
export function makeCertificates(directory: string): Promise<{ caFile: string; certFile: string; keyFile: string }>

/** What the SDKs want to have although DynamoDB Local accepts everybody. */
export const LOCAL_CREDENTIALS: { accessKeyId: string; secretAccessKey: string }

export function startRedis(options?: RedisOptions): Promise<RedisServer>
export function startSentinel(options?: RedisSentinelOptions): Promise<RedisSentinel>
export function startRedisCluster(options?: RedisClusterOptions): Promise<RedisCluster>
export function startPostgres(options?: PostgresOptions): Promise<PostgresServer>
export function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncerServer>
export function startDynamoDB(options?: DynamoDBOptions): Promise<DynamoDBServer>
export function startMongo(options?: MongoOptions): Promise<MongoServer>

/** Environment variables that give a program a clock of its own (Linux): '+1h' is an hour ahead. */
export function clockOffset(offset: string): Promise<Record<string, string>>
/** The environment of a program whose wall clock is off by what `file` says, such as `-3600`, at any time. */
export function settableClock(file: string): Promise<Record<string, string>>

/** The path of a program, which is installed first where this process may: Debian's package has the same name. */
export function program(name: string): Promise<string>
