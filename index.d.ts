// Generated from ts/ by `npm run build:ts`. Do not edit.
import { inspect } from 'node:util';

/** A backend's name. */
export type BackendName = "memory" | "sqlite" | "postgres" | "redis" | "mongodb" | "dynamodb";
/** What a backend can do. */
export interface Capabilities {
	/** Of the backend. `interactive`: reads and writes, then commit or roll back. `buffered`: writes, sent at the end. */
	readonly transactions: "interactive" | "buffered" | "none";
	/** The isolation levels that `transaction` takes. */
	readonly isolation: readonly string[];
	/** Who removes an expired payload: the `server`, or `cleanup()`. It is never returned, either way. */
	readonly expiry: "server" | "cleanup";
	/** The largest payload, in bytes. On DynamoDB, whose limit is that of the whole item, under an id of one byte. */
	readonly maxPayloadBytes: number;
	/** Whether data survives the end of the process. */
	readonly durable: boolean;
	/** Whether several processes can share the data. */
	readonly shared: boolean;
	/** Whether a read that follows a write sees it, whichever server answers. */
	readonly consistentReads: boolean;
}
/** What `health()` answers. */
export interface Health {
	/** `degraded`: it answers, but something limits it (see `message`). */
	status: "healthy" | "degraded" | "unhealthy";
	backend: BackendName;
	/** How long the probe took. */
	latencyMs: number;
	serverVersion?: string;
	/** Why it is not healthy. */
	message?: string;
	details: Record<string, number | string>;
}
/** Latencies of one operation since the store was opened, from the call to the answer. */
export interface OperationStatistics {
	count: number;
	/** Those that were rejected; that a payload is not there (`NOT_FOUND`) is an answer. */
	errors: number;
	p50Ms: number;
	p95Ms: number;
	p99Ms: number;
	maxMs: number;
}
/** What `statistics()` answers. */
export interface Statistics {
	backend: BackendName;
	/** Payloads stored, and how many of them have expired but are not removed yet. */
	payloads: {
		count: number;
		bytes: number;
		expired: number;
	};
	/** Connections, where the backend has any; `waiting` are operations not yet sent. */
	pool: {
		open: number;
		idle: number;
		inUse: number;
		waiting: number;
	} | null;
	/** By operation, such as `put`. */
	operations: Record<string, OperationStatistics>;
}
/** `pg`: a Pool, a Client or a PoolClient. */
export interface PgClient {
	query(text: string, values?: unknown[]): PromiseLike<{
		rows: unknown[];
		rowCount: number | null;
		command: string;
	}>;
	connect(): PromiseLike<unknown>;
	end(): PromiseLike<void>;
}
/** `postgres` (postgres.js): `sql`, or what `sql.begin` and `sql.reserve` give. */
export interface PostgresJsClient {
	unsafe(query: string, parameters?: never[]): PromiseLike<unknown[]>;
	notify(channel: string, payload: string): unknown;
	file: unknown;
	typed: unknown;
}
/** A Prisma client, or the `tx` of an interactive `$transaction`. */
export interface PrismaClientLike {
	$queryRawUnsafe(query: string, ...values: unknown[]): PromiseLike<unknown>;
	$executeRawUnsafe(query: string, ...values: unknown[]): PromiseLike<number>;
}
interface DrizzlePostgresDatabase {
	execute(query: never): PromiseLike<unknown>;
	transaction(work: never, config?: never): PromiseLike<unknown>;
	refreshMaterializedView(view: never): unknown;
}
interface DrizzleSqliteDatabase {
	run(query: never): unknown;
	all(query: never): unknown;
	values(query: never): unknown;
	transaction(work: never, config?: never): unknown;
}
/** Drizzle, on either database. */
export type DrizzleDatabase = DrizzlePostgresDatabase | DrizzleSqliteDatabase;
/** A Kysely instance, or a Transaction of it. */
export interface KyselyDatabase {
	readonly isTransaction: boolean;
	getExecutor(): unknown;
	executeQuery(query: never): PromiseLike<{
		rows: unknown[];
	}>;
	withoutPlugins(): unknown;
}
/** A Knex instance, or a `trx` of it. */
export interface KnexClient {
	client: unknown;
	raw(sql: string): unknown;
	transaction(work: never, config?: never): unknown;
	batchInsert: unknown;
}
/** A `better-sqlite3` handle. */
export interface BetterSqlite3Database {
	readonly inTransaction: boolean;
	prepare(sql: string): unknown;
	transaction(work: never): unknown;
	pragma(source: string): unknown;
}
/** A `node:sqlite` handle. */
export interface NodeSqliteDatabase {
	prepare(sql: string): unknown;
	exec(sql: string): void;
	open(): void;
	close(): void;
}
/** Every client of PostgreSQL that a store can run on. */
export type PostgresClient = PgClient | PostgresJsClient | PrismaClientLike | DrizzlePostgresDatabase | KyselyDatabase | KnexClient;
/** Every client of SQLite that a store can run on. */
export type SqliteClient = BetterSqlite3Database | NodeSqliteDatabase | PrismaClientLike | DrizzleSqliteDatabase | KyselyDatabase | KnexClient;
/** `@aws-sdk/client-dynamodb` (DynamoDBClient, DynamoDB) or `@aws-sdk/lib-dynamodb` (DynamoDBDocumentClient, DynamoDBDocument). */
export interface DynamoDBClientLike {
	readonly config: {
		readonly serviceId: string;
	};
	readonly middlewareStack: object;
	send(command: never, options?: never): unknown;
	destroy(): void;
}
/**
 * A DynamoDB transaction that the application collects and sends itself (`TransactWriteItemsCommand`, or the
 * document client's `TransactWriteCommand`): the array of its `TransactItems`, or an object that has it, such as
 * the command's input. Puts and deletes are added to it, and nothing else is changed.
 */
export type DynamoDBTransactItems = object[] | {
	TransactItems: object[];
	document?: boolean;
};
/** `mongodb`: a MongoClient, whose default database is meant, or a Db. */
export type MongoClientLike = MongoClientShape | MongoDbShape;
interface MongoClientShape {
	db(name?: string): unknown;
	startSession(): unknown;
	close(): unknown;
}
interface MongoDbShape {
	readonly databaseName: string;
	command(command: never, options?: never): unknown;
	collection(name: string): unknown;
}
/** `ioredis`: a Redis or a Cluster. */
export interface IoredisClient {
	readonly status: string;
	readonly isCluster: boolean;
	callBuffer: unknown;
	defineCommand: unknown;
	multi: unknown;
}
/** `redis` (node-redis 5 and later): what createClient, createCluster, createSentinel or createClientPool gives. */
export interface NodeRedisClient {
	sendCommand: unknown;
	withTypeMapping: unknown;
	multi: unknown;
	close: unknown;
}
/** Every client of Redis that a store can run on. */
export type RedisClient = IoredisClient | NodeRedisClient;
/** Every reason for which an operation can be rejected. */
export type SagaStoreErrorCode = "NOT_FOUND" | "ALREADY_EXISTS" | "CONCURRENCY_CONFLICT" | "PAYLOAD_TOO_LARGE" | "ALREADY_EXPIRED" | "INVALID_ARGUMENT" | "CONNECTION" | "TIMEOUT" | "SERIALIZATION" | "CORRUPT_DATA" | "UNSUPPORTED" | "CLOSED" | "BACKEND";
interface Failure {
	code: SagaStoreErrorCode;
	message: string;
	backend?: string;
	operation?: string;
	id?: string;
	retryable: boolean;
	causes: string[];
	details: Record<string, number | string>;
	/** What a client of the application threw: the cause itself, in place of `causes`. */
	cause?: unknown;
}
/** What every rejection is an instance of. Its stack reaches the caller's `await`. */
export declare class SagaStoreError extends Error {
	/** What went wrong. */
	readonly code: SagaStoreErrorCode;
	/** Such as `postgres`, once known. */
	readonly backend?: string;
	/** The operation that failed, such as `put`. */
	readonly operation?: string;
	/** The record, where there is one. */
	readonly id?: string;
	/** Whether the same call may succeed later. */
	readonly retryable: boolean;
	constructor(failure: Failure);
}
/** `NOT_FOUND`: no record has this id, or it has expired. */
export declare class NotFoundError extends SagaStoreError {
}
/** `ALREADY_EXISTS`: the saga id, or the correlation id, is taken. */
export declare class AlreadyExistsError extends SagaStoreError {
	readonly sagaName: string;
	/** Where it is the saga id that is taken. */
	readonly sagaId?: string;
	/** Where it is the correlation id that is taken. */
	readonly correlationId?: string;
}
/** `CONCURRENCY_CONFLICT`: another update came between. */
export declare class ConcurrencyError extends SagaStoreError {
	readonly sagaName: string;
	readonly sagaId: string;
	readonly expectedVersion: number;
	/** The version that is stored. */
	readonly actualVersion: number;
}
/** `SERIALIZATION`: a state that JSON cannot keep. */
export declare class SerializationError extends SagaStoreError {
	/** What of it: such as `order.items[2].price`. */
	readonly path: string;
}
/** `PAYLOAD_TOO_LARGE`: refused before anything was sent. */
export declare class PayloadTooLargeError extends SagaStoreError {
	/** The payload's bytes. */
	readonly size: number;
	/** The bytes that the backend, or `maxPayloadBytes`, allows. */
	readonly limit: number;
}
/** `ALREADY_EXPIRED`: `expiresAt` has passed and `lateRetentionMs` is 0. */
export declare class AlreadyExpiredError extends SagaStoreError {
}
/** `INVALID_ARGUMENT`: the input is wrong; the message says what is accepted. */
export declare class InvalidArgumentError extends SagaStoreError {
}
/** `CONNECTION`: the server cannot be reached or refuses the login, or the connection broke. */
export declare class ConnectionError extends SagaStoreError {
}
/** `TIMEOUT`: no answer within `operationTimeoutMs`. A write may or may not have happened. */
export declare class TimeoutError extends SagaStoreError {
}
/** `CORRUPT_DATA`: what is stored cannot be read. */
export declare class CorruptDataError extends SagaStoreError {
	/** Of a list of sagas: those that cannot be read, this one among them. */
	readonly corrupt?: readonly CorruptSaga[];
	/** Of a list of sagas: what would have been answered without them (a page with its cursor, or sagas). Not enumerable. */
	readonly found?: unknown;
}
/** A saga that is stored and cannot be read. */
export interface CorruptSaga {
	sagaName: string;
	sagaId: string;
	error: CorruptDataError;
}
/** `UNSUPPORTED`: this backend, or this version of its server, cannot do it. */
export declare class UnsupportedError extends SagaStoreError {
}
/** `CLOSED`: the store has been closed. */
export declare class ClosedError extends SagaStoreError {
}
declare const OPERATIONS: {
	readonly put: {
		readonly number: 0;
		readonly name: "put";
		readonly kind: "payloads";
		readonly writes: true;
		readonly by: "id";
	};
	readonly get: {
		readonly number: 1;
		readonly name: "get";
		readonly kind: "payloads";
		readonly writes: false;
		readonly by: "id";
	};
	readonly find: {
		readonly number: 2;
		readonly name: "find";
		readonly kind: "payloads";
		readonly writes: false;
		readonly by: "id";
	};
	readonly has: {
		readonly number: 3;
		readonly name: "has";
		readonly kind: "payloads";
		readonly writes: false;
		readonly by: "id";
	};
	readonly delete: {
		readonly number: 4;
		readonly name: "delete";
		readonly kind: "payloads";
		readonly writes: true;
		readonly by: "id";
	};
	readonly touch: {
		readonly number: 5;
		readonly name: "touch";
		readonly kind: "payloads";
		readonly writes: true;
		readonly by: "id";
	};
	readonly putMany: {
		readonly number: 6;
		readonly name: "putMany";
		readonly kind: "payloads";
		readonly writes: true;
		readonly by: "ids";
	};
	readonly getMany: {
		readonly number: 7;
		readonly name: "getMany";
		readonly kind: "payloads";
		readonly writes: false;
		readonly by: "ids";
	};
	readonly "states.getById": {
		readonly number: 8;
		readonly name: "states.getById";
		readonly kind: "states";
		readonly writes: false;
		readonly by: "name_and_id";
	};
	readonly "states.getByCorrelationId": {
		readonly number: 9;
		readonly name: "states.getByCorrelationId";
		readonly kind: "states";
		readonly writes: false;
		readonly by: "name_and_other_id";
	};
	readonly "states.insert": {
		readonly number: 10;
		readonly name: "states.insert";
		readonly kind: "states";
		readonly writes: true;
		readonly by: "name_and_id";
	};
	readonly "states.update": {
		readonly number: 11;
		readonly name: "states.update";
		readonly kind: "states";
		readonly writes: true;
		readonly by: "name_and_id";
	};
	readonly "states.delete": {
		readonly number: 12;
		readonly name: "states.delete";
		readonly kind: "states";
		readonly writes: true;
		readonly by: "name_and_id";
	};
	readonly "states.deleteByCorrelationId": {
		readonly number: 13;
		readonly name: "states.deleteByCorrelationId";
		readonly kind: "states";
		readonly writes: true;
		readonly by: "name_and_other_id";
	};
	readonly "states.findByName": {
		readonly number: 14;
		readonly name: "states.findByName";
		readonly kind: "states";
		readonly writes: false;
		readonly by: null;
	};
	readonly "states.countByName": {
		readonly number: 15;
		readonly name: "states.countByName";
		readonly kind: "states";
		readonly writes: false;
		readonly by: null;
	};
	readonly "states.deleteCompletedBefore": {
		readonly number: 16;
		readonly name: "states.deleteCompletedBefore";
		readonly kind: "states";
		readonly writes: true;
		readonly by: null;
	};
	readonly "states.findTimedOut": {
		readonly number: 17;
		readonly name: "states.findTimedOut";
		readonly kind: "states";
		readonly writes: false;
		readonly by: null;
	};
	readonly "states.claimTimedOut": {
		readonly number: 18;
		readonly name: "states.claimTimedOut";
		readonly kind: "states";
		readonly writes: true;
		readonly by: null;
	};
	readonly initialize: {
		readonly number: 1000;
		readonly name: "initialize";
		readonly kind: "store";
		readonly writes: true;
		readonly by: null;
	};
	readonly purgeExpired: {
		readonly number: 1001;
		readonly name: "purgeExpired";
		readonly kind: "store";
		readonly writes: true;
		readonly by: null;
	};
	readonly health: {
		readonly number: 1002;
		readonly name: "health";
		readonly kind: "store";
		readonly writes: false;
		readonly by: null;
	};
	readonly statistics: {
		readonly number: 1003;
		readonly name: "statistics";
		readonly kind: "store";
		readonly writes: false;
		readonly by: null;
	};
	readonly transaction: {
		readonly number: 1004;
		readonly name: "transaction";
		readonly kind: "store";
		readonly writes: true;
		readonly by: null;
	};
	readonly "states.reindex": {
		readonly number: 1005;
		readonly name: "states.reindex";
		readonly kind: "store";
		readonly writes: true;
		readonly by: null;
	};
};
type Operation = (typeof OPERATIONS)[keyof typeof OPERATIONS];
interface Runner {
	readonly backend: BackendName;
	/** Runs an operation with these arguments; it rejects with errors of this package. */
	run<T>(operation: Operation, first?: unknown, data?: unknown, expiresAt?: unknown, routingSlipId?: string): Promise<T>;
	/** A rejection of what is found out before anything runs. What reading the arguments has thrown is `INVALID_ARGUMENT`. */
	refuse(error: unknown, operation: string): Promise<never>;
}
/** What a saga engine keeps beside the state of a saga. Dates are Dates, when it is stored too: a text or a number is refused. */
export interface SagaMetadata {
	/** Unique among the sagas of one name. */
	sagaId: string;
	/** Counts the updates. Default of a new saga: 1. */
	version?: number;
	createdAt?: Date;
	updatedAt?: Date;
	isCompleted?: boolean;
	archivedAt?: Date | null;
	traceParent?: string | null;
	traceState?: string | null;
	timeoutMs?: number | null;
	/** `findTimedOut` finds the saga from then on, unless it has ended. */
	timeoutExpiresAt?: Date | null;
}
/** A saga's state: anything that `JSON.stringify` takes, with `metadata`. */
export interface SagaState {
	metadata: SagaMetadata;
}
/** The metadata of a state that is stored: whole. */
export interface StoredMetadata extends SagaMetadata {
	version: number;
	createdAt: Date;
	updatedAt: Date;
	isCompleted: boolean;
}
/** A state as it is read, or as it has been stored: what the application keeps, with its metadata whole. */
export type Stored<T extends object> = T & {
	metadata: StoredMetadata;
};
/** Which sagas of a name are meant. */
export interface SagaFilter {
	/** Only those that have ended, or only those that have not. */
	completed?: boolean;
}
/** What becomes of sagas that cannot be read. */
export interface CorruptOptions {
	/**
	 * Is told each of them; the others are answered. Without it the operation rejects with `CORRUPT_DATA`: the error has
	 * all of them (`corrupt`), and what would have been answered (`found`).
	 */
	onCorrupt?: (problem: CorruptSaga) => void;
}
/** Options of `findByName`. */
export interface FindOptions extends SagaFilter, CorruptOptions {
	/** At most so many: 1 to 1,000. Default 100. */
	limit?: number;
	/** That of the page before. */
	cursor?: string;
}
/** One page of `findByName`. */
export interface SagaPage<T extends object> {
	items: Stored<T>[];
	/** Where the next page begins; none on the last one. */
	cursor?: string;
}
/** Options of `findTimedOut`. */
export interface TimedOutOptions extends CorruptOptions {
	/** Timeouts up to then. Default: the present. */
	now?: Date;
	/** At most so many: 1 to 1,000. Default 100. */
	limit?: number;
	/** Only those of this name. */
	sagaName?: string;
}
/** A saga whose timeout has passed. */
export interface TimedOutSaga<T extends object> {
	sagaName: string;
	state: Stored<T>;
}
/** What `reindex` came to. */
export interface ReindexResult {
	/** Sagas that were looked at. */
	found: number;
	/** Those of them that were not in just the lists in which they belong, and are now. */
	added: number;
	/** Those that were in lists and are not stored any more. */
	removed: number;
	/** Those whose state cannot be read; they stay as they are. */
	unreadable: number;
}
/** Which sagas `claimTimedOut` gives to whom, and for how long. */
export interface ClaimOptions extends TimedOutOptions {
	/** The worker: 1 to 256 bytes of UTF-8. */
	workerId: string;
	/** How long nobody else is given them: 1 to 604,800,000 (a week). */
	leaseMs: number;
}
/** A saga whose timeout has passed, and which one worker has for a while. */
export interface ClaimedSaga<T extends object> extends TimedOutSaga<T> {
	workerId: string;
	/** By the clock of this process, and never later than the store's: stop working on it then. */
	leasedUntil: Date;
}
/** How `modify` goes about conflicts. */
export interface ModifyOptions {
	/** Further attempts. Default 3. */
	maxRetries?: number;
	/** The pause before the first of them is a random part of this; each one doubles it. Default 100. */
	retryDelayMs?: number;
}
/**
 * The state of saga instances, found by saga id or by correlation id, guarded by a version. Both ids are unique
 * among the sagas of one name. A saga name has 1 to 128 bytes of UTF-8, without `:` and `#`; ids have 1 to 512, and
 * a correlation id does not begin with `idx:`.
 */
export declare class SagaStates {
	#private;
	/** @internal */
	constructor(runner: Runner);
	/** The state, or null. Dates of its metadata are Dates. */
	getById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null>;
	/** The state, or null. Dates of its metadata are Dates. */
	getByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null>;
	/**
	 * Stores a new saga, with the version that its metadata has (1, if it has none) and its dates.
	 *
	 * @param state with `metadata.sagaId`; what else is missing in `metadata` is filled in in what is stored
	 * @throws AlreadyExistsError if the saga id or the correlation id is taken
	 * @throws SerializationError if it cannot be kept as JSON: `path` says what
	 */
	insert<T extends object>(sagaName: string, correlationId: string, state: T): Promise<void>;
	/**
	 * Replaces the state, if the stored version is the expected one; what is stored has the next version. Its
	 * `createdAt` and its correlation id stay what they are. `updatedAt` is the time of this change: the present, unless
	 * the state's lies in the future.
	 *
	 * @throws ConcurrencyError if the version is another one: `expectedVersion`, `actualVersion`
	 * @throws NotFoundError if there is no such saga
	 * @throws SerializationError
	 */
	update<T extends object>(sagaName: string, state: T, expectedVersion: number): Promise<void>;
	/** Removes the saga, if there is one. */
	delete(sagaName: string, sagaId: string): Promise<void>;
	/** Removes the saga, if there is one. */
	deleteByCorrelationId(sagaName: string, correlationId: string): Promise<void>;
	/**
	 * Reads the state, has it changed, and stores it, from the start again where another update came between.
	 * `updatedAt` becomes the present, unless `change` sets it.
	 *
	 * @param change may change what it is given and return that, or return another state; it may run several times
	 * @returns the state as it is stored
	 * @throws NotFoundError if there is no such saga
	 * @throws ConcurrencyError if there were conflicts `maxRetries` times more
	 */
	modify<T extends object = SagaState>(sagaName: string, sagaId: string, change: (state: Stored<T>) => T | Promise<T>, options?: ModifyOptions): Promise<Stored<T>>;
	/**
	 * Inserts a state that has no version, and updates the saga of a state that has one. The saga id is
	 * `metadata.sagaId`, or `state.id`. The correlation id of a new saga is `state.correlationId`, or its saga id.
	 *
	 * @param state with the version that it was read with in `metadata.version`; a new one has none
	 * @returns the state as it is stored: save this one the next time
	 * @throws ConcurrencyError if another update came between
	 * @throws NotFoundError if the saga has been deleted
	 * @throws AlreadyExistsError if it has no version, and the saga id or the correlation id is taken
	 */
	save<T extends object>(sagaName: string, state: T): Promise<Stored<T>>;
	/** `getById`, under the name that `@saga-bus/store-redis` documents. */
	findById<T extends object = SagaState>(sagaName: string, sagaId: string): Promise<Stored<T> | null>;
	/** `getByCorrelationId`, under the name that `@saga-bus/store-redis` documents. */
	findByCorrelationId<T extends object = SagaState>(sagaName: string, correlationId: string): Promise<Stored<T> | null>;
	/**
	 * Sagas of a name in the order of their saga ids, in pages of at most `limit` (1 to 1,000, default 100). Give the
	 * cursor of a page to get the next one. Each saga is listed once, also when others are inserted meanwhile. The last
	 * page has no cursor. A page has fewer items where some cannot be read. On DynamoDB the list follows a change a
	 * moment later, as its indexes do; the states in it are read consistently.
	 *
	 * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` is the page of the others
	 */
	findByName<T extends object = SagaState>(sagaName: string, options?: FindOptions): Promise<SagaPage<T>>;
	/** How many sagas of a name there are; on DynamoDB a moment ago. */
	countByName(sagaName: string, options?: SagaFilter): Promise<number>;
	/**
	 * Removes sagas that ended before a time, at most `limit` of them, in batches. Answers how many. A saga ends when an
	 * insert or an update first makes it completed. One that is inserted as completed has ended at its `updatedAt`.
	 */
	deleteCompletedBefore(sagaName: string, before: Date, options?: {
		limit?: number;
	}): Promise<number>;
	/**
	 * Sagas that have not ended and whose `metadata.timeoutExpiresAt` has passed at `now` (default: the present). The
	 * longest overdue comes first. At most `limit` (1 to 1,000, default 100) are answered; those that cannot be read do
	 * not count, as long as there are no more than 1,000 of both. DynamoDB finds a saga a moment after it was stored.
	 *
	 * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` are the others
	 */
	findTimedOut<T extends object = SagaState>(options?: TimedOutOptions): Promise<TimedOutSaga<T>[]>;
	/**
	 * For sagas that other software has written to Redis, such as `@saga-bus/store-redis`. It does not write the lists
	 * that `findByName`, `countByName` and `findTimedOut` read, so these do not find its sagas. `reindex` reads all keys
	 * of every primary, in small steps, and puts each state into its lists. States and versions stay as they are. If it
	 * is interrupted, call it again. Call it once when the new version runs, and once more when the last old worker has
	 * ended. On the other backends there is nothing to do: the database keeps the lists.
	 *
	 * @param options `sagaName`: only the sagas of this name
	 * @throws UnsupportedError in a transaction
	 */
	reindex(options?: {
		sagaName?: string;
	}): Promise<ReindexResult>;
	/**
	 * The same sagas as `findTimedOut`, each given to one worker. Until the lease ends, `claimTimedOut` gives the saga to
	 * nobody else, and not to the same worker again. (`findTimedOut` still shows it.) State and version stay as they are:
	 * the worker does its work and then calls `update`. An update that ends the saga, or changes or removes its timeout,
	 * ends the lease too. The server's clock decides when a lease is over, where the server has one.
	 *
	 * @throws CorruptDataError if one of them cannot be read: see `onCorrupt`. Its `found` are the others, which the
	 * worker has
	 * @throws SagaStoreError `UNSUPPORTED` in a transaction that is only sent at its end (Redis, DynamoDB)
	 */
	claimTimedOut<T extends object = SagaState>(options: ClaimOptions): Promise<ClaimedSaga<T>[]>;
}
/** What `createBus` of `@saga-bus/core` takes for a saga's store. */
export interface SagaBusStore<T extends object> {
	getById(sagaName: string, sagaId: string): Promise<T | null>;
	getByCorrelationId(sagaName: string, correlationId: string): Promise<T | null>;
	insert(sagaName: string, correlationId: string, state: T): Promise<void>;
	update(sagaName: string, state: T, expectedVersion: number): Promise<void>;
	delete(sagaName: string, sagaId: string): Promise<void>;
}
/** Options of `sagaBusStore`: classes of `@saga-bus/core`, by which the bus tells what to do with a message. */
export interface SagaBusOptions {
	/** A conflict: the bus tries the message again, on the saga that is stored then. */
	ConcurrencyError: new (sagaId: string, expectedVersion: number, actualVersion?: number) => Error;
	/** What passes by itself (an error that is `retryable`): the bus tries the message again. */
	TransientError?: new (message: string, cause?: Error) => Error;
}
/**
 * Saga state as a store of `@saga-bus/core`.
 *
 * ```ts
 * import { ConcurrencyError, createBus, TransientError } from '@saga-bus/core'
 * const store = sagaBusStore(states, { ConcurrencyError, TransientError })
 * const bus = createBus({ transport, sagas: [{ definition, store }] })
 * ```
 *
 * Conflicts of versions are its `ConcurrencyError`, and so is a saga that another message has started meanwhile
 * (`ALREADY_EXISTS`). Errors that are `retryable` are its `TransientError`; without that class they say in their message
 * that they pass. The store's own error is the `cause`. All others are thrown as they are.
 *
 * @param states of a store, or of a transaction
 * @param options the classes of `@saga-bus/core`
 */
export declare function sagaBusStore<T extends object>(states: SagaStates, options: SagaBusOptions): SagaBusStore<T>;
/** The interface of a saga engine's claim check; every store class implements it. */
export interface SagaStoreAdapter {
	/** Stores a payload until `expiresAt`. */
	put(id: string, data: Buffer, expiresAt: Date): Promise<void>;
	/** The payload; rejects if there is none. */
	get(id: string): Promise<Buffer>;
	/** Removes expired payloads where the backend does not do it by itself. */
	cleanup?(): Promise<void>;
	/** Creates what the store needs in the backend. */
	initialize?(): Promise<void>;
}
/** Anything with these four methods: `console`, pino, winston. */
export interface Logger {
	debug(...args: never[]): void;
	info(...args: never[]): void;
	warn(...args: never[]): void;
	error(...args: never[]): void;
}
/** Options that every store has. Unknown ones are refused. */
export interface StoreOptions {
	/**
	 * Names the tables, collections or key prefixes of every kind of record: 1 to 32 small letters, digits and
	 * underscores, starting with a letter. With `orders`, payloads are in `orders_payloads` and sagas in `orders_sagas`
	 * (on Redis under `orders:payloads:` and `orders:sagas:`). An option that names one of them alone goes before it.
	 * Default: the names that the single options have by default.
	 */
	namespace?: string;
	/** Where the operations are told to: `console`, a pino logger, or anything with the four methods. */
	logger?: Logger;
	/** How long a payload whose `expiresAt` had passed at the put is kept, in ms. Default 3,600,000; with 0 such a put is refused. */
	lateRetentionMs?: number;
	/** Larger payloads are refused; what counts is what is stored, compressed or not. Default: what the backend can hold. */
	maxPayloadBytes?: number;
	/**
	 * Payloads are compressed off the event loop, behind a header that says so; `'zstd'` is `{ algorithm: 'zstd' }`.
	 * What is compressed can be read whatever this option is, and so can what is not. Default `'none'`.
	 */
	compression?: "zstd" | "none" | CompressionOptions;
	/** A stored payload that would be larger when it is decompressed is refused. Default 256 MiB. */
	maxDecompressedBytes?: number;
	/** The longest that a promise stays pending, in ms. Default 30,000. */
	operationTimeoutMs?: number;
	/** The longest that reaching the server may take, in ms. Default 5,000. */
	connectTimeoutMs?: number;
	/** Repetition of operations that failed in a way that may pass, and that may be repeated. */
	retry?: RetryOptions;
	/** How long a saga that has ended is kept after its last change, in ms. Default 0: as `defaultTtlMs` says. */
	completedTtlMs?: number;
	/** How long a saga is kept after its last change, in ms. Default 0: until it is deleted. */
	defaultTtlMs?: number;
	/**
	 * The store calls it at each operation. It answers the transaction of the application that the operation joins, for
	 * example from an AsyncLocalStorage, or `undefined` for none. See `withTransaction` for what may be a transaction.
	 */
	getTransaction?: () => unknown;
	/**
	 * Operations on payloads and sagas outside of any transaction are `INVALID_ARGUMENT`; without this option they run by
	 * themselves. `initialize`, `cleanup`, `purgeExpired`, `health` and `statistics` need none. Default false.
	 */
	requireTransaction?: boolean;
}
/** How payloads are compressed. */
export interface CompressionOptions {
	/** Zstandard (RFC 8878), or nothing. */
	algorithm?: "zstd" | "none";
	/** 1 (fast) to 19 (small). Default 1. */
	level?: number;
	/** Smaller payloads stay as they are, and so does what does not shrink. Default 1,024. */
	minBytes?: number;
}
/** Full jitter: the pause is a random part of `baseMs * 2^n`, at most `maxMs`. */
export interface RetryOptions {
	/** Attempts in all. Default 3. */
	attempts?: number;
	/** Default 50. */
	baseMs?: number;
	/** Default 2,000. */
	maxMs?: number;
}
/** Options of a memory store. */
export interface MemoryStoreOptions extends StoreOptions {
	/** `memory://` (private, the default) or `memory://name` (shared by all stores of that name in the process). */
	url?: string;
}
/** Options of an SQLite store: on connections of its own, or on a client of the application. */
export type SqliteStoreOptions = SqliteUrlOptions | SqliteClientOptions;
/** Options of an SQLite store on connections of its own. */
export interface SqliteUrlOptions extends StoreOptions {
	/** `sqlite:///absolute.db`, `sqlite:relative.db` or `sqlite::memory:`. */
	url: string;
	/** Letters, digits and underscores. Default `saga_store`. */
	tableName?: string;
	/** The table of sagas. Default `saga_instances`. */
	statesTableName?: string;
	/** `full` (the default): a resolved put survives a power cut. `normal`: it survives the end of the process. */
	durability?: "full" | "normal";
}
/** Options of an SQLite store on a client of the application. */
export interface SqliteClientOptions extends StoreOptions {
	/** A handle of better-sqlite3 or node:sqlite, or Prisma, Drizzle, Kysely or Knex on SQLite. */
	client: SqliteClient;
	/** Letters, digits and underscores. Default `saga_store`. */
	tableName?: string;
	/** The table of sagas. Default `saga_instances`. */
	statesTableName?: string;
}
/** Options of a PostgreSQL store: on connections of its own, or on a client of the application. */
export type PostgresStoreOptions = PostgresUrlOptions | PostgresClientOptions;
/** Options of a PostgreSQL store on a client of the application. */
export interface PostgresClientOptions extends StoreOptions {
	/** pg (Pool, Client, PoolClient), postgres.js, or Prisma, Drizzle, Kysely or Knex on PostgreSQL. */
	client: PostgresClient;
	/** Default: the connection's search path. */
	schema?: string;
	/** Letters, digits and underscores. Default `saga_store`. */
	tableName?: string;
	/** The table of sagas. Default `saga_instances`. */
	statesTableName?: string;
}
/** Options of a PostgreSQL store on connections of its own. */
export interface PostgresUrlOptions extends StoreOptions {
	/** The libpq URL, with `sslmode` for TLS. */
	url: string;
	/** Default: the connection's search path. */
	schema?: string;
	/** Letters, digits and underscores. Default `saga_store`. */
	tableName?: string;
	/** The table of sagas. Default `saga_instances`. */
	statesTableName?: string;
	/** Connections at most. Default 4. */
	poolSize?: number;
}
/** Options of a Redis store: on a connection of its own, or on a client of the application. */
export type RedisStoreOptions = RedisUrlOptions | RedisClientOptions;
/** Options of a Redis store on a client of the application. */
export interface RedisClientOptions extends StoreOptions {
	/** ioredis (Redis, Cluster), or redis (node-redis 5 and later). */
	client: RedisClient;
	/** Keys are `{keyPrefix}:{id}`, whatever prefix the client has itself. Default `saga:storage`. */
	keyPrefix?: string;
	/** Keys of sagas are `{statesKeyPrefix}saga:{sagaName}:{correlationId}`, and indexes beside them. Default `saga-bus:`. */
	statesKeyPrefix?: string;
}
/** Options of a Redis store on a connection of its own. */
export interface RedisUrlOptions extends StoreOptions {
	/** `redis:`, `rediss:`, `redis-cluster:`, `rediss-cluster:`, `redis-sentinel:` or `rediss-sentinel:`. */
	url: string;
	/** Keys are `{keyPrefix}:{id}`. Default `saga:storage`. */
	keyPrefix?: string;
	/** Keys of sagas are `{statesKeyPrefix}saga:{sagaName}:{correlationId}`, and indexes beside them. Default `saga-bus:`. */
	statesKeyPrefix?: string;
	/** A PEM file with the certificate authorities to trust. Default: the system's. */
	tlsCaFile?: string;
}
/** Options of a MongoDB store: on connections of its own, or on a client of the application. */
export type MongoStoreOptions = MongoUrlOptions | MongoClientOptions;
/** Options of a MongoDB store on a client of the application, whose concerns hold (`w: 0` is refused; without one, `majority`). */
export interface MongoClientOptions extends StoreOptions {
	/** `mongodb`: a MongoClient or a Db. */
	client: MongoClientLike;
	/** Default: that of the client. */
	database?: string;
	/** Default `saga_store`. */
	collectionName?: string;
	/** The collection of sagas. Default `saga_instances`. */
	statesCollectionName?: string;
}
/** Options of a MongoDB store on connections of its own. */
export interface MongoUrlOptions extends StoreOptions {
	/** The driver's URL, `mongodb:` or `mongodb+srv:`; the database is its path, `sagas` where there is none. */
	url: string;
	/** Default `saga_store`. */
	collectionName?: string;
	/** The collection of sagas. Default `saga_instances`. */
	statesCollectionName?: string;
}
/** Options of a DynamoDB store: on connections of its own, or on a client of the application. */
export type DynamoDBStoreOptions = DynamoDBUrlOptions | DynamoDBClientOptions;
/** Options of a DynamoDB store on a client of the application. Region, endpoint and credentials are the client's. */
export interface DynamoDBClientOptions extends StoreOptions {
	/** `@aws-sdk/client-dynamodb` (DynamoDBClient, DynamoDB), or `@aws-sdk/lib-dynamodb` (DynamoDBDocumentClient, DynamoDBDocument). */
	client: DynamoDBClientLike;
	/** Default `saga_store`. */
	tableName?: string;
	/** The table of sagas, with its indexes. Default `saga_instances`. */
	statesTableName?: string;
}
/** Options of a DynamoDB store on connections of its own. */
export interface DynamoDBUrlOptions extends StoreOptions {
	/** `dynamodb://eu-west-1/saga_store?endpoint=http://127.0.0.1:8000`; table and endpoint may be left out. */
	url: string;
	/** Default: the URL's path, or `saga_store`. */
	tableName?: string;
	/** The table of sagas, with its indexes. Default `saga_instances`. */
	statesTableName?: string;
	/** Default: the URL's host, or what the AWS default chain says. */
	region?: string;
	/** Another endpoint than AWS's own, such as DynamoDB Local. */
	endpoint?: string;
	/** Default: the AWS default chain (environment, profile, SSO, container, instance metadata). */
	credentials?: {
		accessKeyId: string;
		secretAccessKey: string;
		sessionToken?: string;
	};
}
/** Options of any store; those of the backend that the URL names are accepted. */
export type AnyStoreOptions = MemoryStoreOptions | SqliteStoreOptions | PostgresStoreOptions | RedisStoreOptions | MongoStoreOptions | DynamoDBStoreOptions;
/** One payload of a `putMany`. */
export interface PayloadEntry {
	/** The claim id: 1 to 1,024 bytes of UTF-8. */
	id: string;
	/** The payload. */
	data: Uint8Array;
	/** When it ceases to exist; never, if left out. */
	expiresAt?: Date;
	/** For logs and traces. */
	routingSlipId?: string;
}
/** Options of one `put`. */
export interface PutOptions {
	/** For logs and traces. Default: read from a claim id `slip-{routingSlipId}-{millis}`. */
	routingSlipId?: string;
}
/** Options of one `transaction`. */
export interface TransactionOptions {
	/** One of `store.capabilities.isolation`. Default: `read committed` on PostgreSQL, as SQLite has no other than `serializable`. */
	isolation?: "read committed" | "repeatable read" | "serializable";
}
/** What subscribers of the tracing channel `sagastore:operation` are given. */
export interface OperationContext {
	operation: string;
	backend: BackendName;
	id?: string;
	routingSlipId?: string;
	/** Bytes of the payload: at the start of a put, at the end of a get. */
	bytes?: number;
	/** Names and values of OpenTelemetry's semantic conventions for database spans. */
	attributes: Record<string, string | number>;
}
/**
 * Runs `work`. In it the operations of every store of that kind of database join `transaction`: they are committed or
 * rolled back with it, whether the store was made from a URL or from a client. Stores of other kinds of database do
 * not join. The application begins, commits and rolls back.
 *
 * @param transaction what the library gives: a `pg` client, the `tx` of Prisma's, Drizzle's, Kysely's or
 *   Knex's transaction, postgres.js's `sql` of `sql.begin`, a better-sqlite3 or node:sqlite handle, a
 *   `multi()` of ioredis or node-redis, a MongoDB `ClientSession`, or an array of DynamoDB's `TransactItems`.
 *   A client, handle or session that is in no transaction when an operation runs: `INVALID_ARGUMENT`, nothing is stored
 * @param work runs at once. Operations that it starts and does not wait for are `CLOSED` once it has ended
 * @returns what `work` returns; a promise of it if `work` is asynchronous
 * @throws InvalidArgumentError if `transaction` cannot be recognised
 */
export declare function withTransaction<T>(transaction: unknown, work: () => T): T;
declare class Payloads<Deleted extends boolean | undefined> {
	#private;
	/** @internal */
	protected constructor(runner: Runner);
	/**
	 * Stores a payload. Data and expiry of an earlier one are replaced together. Once it has resolved,
	 * a `get` of any process sees the payload; if it rejects, do not emit the event. In a transaction
	 * the payload is stored when that commits, or not at all.
	 *
	 * @param id the claim id: 1 to 1,024 bytes of UTF-8
	 * @param data the payload; it must not be changed or transferred before the promise has settled (as with
	 *   `fs.write`): other bytes could be stored
	 * @param expiresAt when the payload ceases to exist; never, if left out. If the time has passed already (a saga
	 *   that timed out and still has to compensate), the payload is kept for `lateRetentionMs`, and the store logs a
	 *   warning. A time before 2001 is refused: it was made of seconds, not of milliseconds
	 * @throws PayloadTooLargeError, AlreadyExpiredError, InvalidArgumentError, ConnectionError, TimeoutError
	 */
	put(id: string, data: Uint8Array, expiresAt?: Date, options?: PutOptions): Promise<void>;
	/**
	 * The payload.
	 *
	 * @throws NotFoundError if there is none, or if its time is over
	 */
	get(id: string): Promise<Buffer>;
	/** The payload, or null if there is none. */
	find(id: string): Promise<Buffer | null>;
	/** Whether there is a payload. */
	has(id: string): Promise<boolean>;
	/**
	 * Removes a payload; whether there was one. (Inside a transaction that is only sent at its end, a Redis
	 * MULTI or DynamoDB's TransactItems, that is not known: `undefined`.)
	 */
	delete(id: string): Promise<Deleted>;
	/** Sets another expiry, under the same rules as `put`; whether there was a payload. */
	touch(id: string, expiresAt: Date): Promise<boolean>;
	/**
	 * Stores several payloads. Resolves when all are stored; rejects if one is not, and then the
	 * others may be. Nothing is sent if one of them is invalid.
	 */
	putMany(entries: Iterable<PayloadEntry>): Promise<void>;
	/** The payloads of several ids; an id without one is not in the map. */
	getMany(ids: Iterable<string>): Promise<Map<string, Buffer>>;
}
type QueryInTransaction = <Row>(sql: string, values: readonly unknown[]) => Promise<Row[]>;
/**
 * A transaction of a store, for the length of `store.transaction`: everything in it is stored, or
 * nothing is. Its own reads see what it has written; nobody else does before it is committed.
 *
 * Where transactions are buffered (Redis, DynamoDB: see `store.capabilities.transactions`), writes are
 * collected and sent at the end: `put` and `delete` resolve when they are queued, everything that
 * needs an answer is `UNSUPPORTED`. Used after its end, everything is `CLOSED`.
 */
export declare class SagaTransaction extends Payloads<boolean | undefined> {
	#private;
	/** As `SagaStore.states`: its changes are stored with the transaction, or not at all. */
	readonly states: SagaStates;
	/** @internal */
	constructor(runner: Runner, query: QueryInTransaction);
	/**
	 * Runs a statement of the application's own in the transaction (PostgreSQL and SQLite).
	 *
	 * @param sql one statement, with `$1..$n` on PostgreSQL and `?` on SQLite. Beginning and ending the
	 *   transaction is `store.transaction`'s; savepoints are free to use
	 * @param values null, booleans, numbers, bigints, text, Dates, bytes; on PostgreSQL also arrays, and
	 *   objects for json. `undefined` is null
	 * @returns rows as objects. PostgreSQL's `bigint` and `numeric` are text (as with `pg`), times are Dates, `bytea` is a Buffer
	 */
	query<Row = Record<string, unknown>>(sql: string, values?: readonly unknown[]): Promise<Row[]>;
}
/**
 * A store of saga payloads (claim check). Opened by one of the classes `MemorySagaStore` and so on, or by `openStore`;
 * constructing never connects, the first operation or `initialize` does.
 */
export declare class SagaStore extends Payloads<boolean> implements SagaStoreAdapter {
	#private;
	/** Which backend it is. */
	readonly backend: BackendName;
	/** @internal */
	protected constructor(backend: BackendName | null, args: readonly unknown[]);
	/** The state of saga instances: see `SagaStates`. */
	get states(): SagaStates;
	/** What this backend can do. */
	get capabilities(): Capabilities;
	/**
	 * Removes payloads and sagas whose time is over (`expiresAt`; `defaultTtlMs`, `completedTtlMs`), at most `limit` of
	 * them, in batches. Answers how many. Redis removes both by itself; there this call removes from the lists of sagas
	 * what is no longer stored. DynamoDB removes both within days; there this call reads the whole table, and AWS charges
	 * for it: one read unit for every 4 KB stored, and a write unit for every KB removed.
	 */
	purgeExpired(options?: {
		limit?: number;
	}): Promise<number>;
	/** Removes all payloads whose time is over. */
	cleanup(): Promise<void>;
	/**
	 * The statements that `initialize` runs in an empty database, for people who run their own migrations: the tables
	 * of payloads and of sagas with their indexes (PostgreSQL and SQLite).
	 *
	 * @throws UnsupportedError on other backends
	 */
	schemaSql(): string;
	/** Creates tables and indexes where they are missing. Safe to call from many processes at once. */
	initialize(): Promise<void>;
	/** Whether the store can be used. Never rejects; takes at most five seconds. */
	health(): Promise<Health>;
	/**
	 * What is stored, the state of the connections, and latencies since the store was opened.
	 * Counting reads the whole table (DynamoDB charges for that, as for `purgeExpired`), or on Redis all
	 * keys of the database. On a client of the application the connections are not the store's: `pool` is null.
	 */
	statistics(): Promise<Statistics>;
	/**
	 * Runs `work` in a transaction. What it does through `tx`, or through this store, is stored as a whole
	 * when it resolves, and not at all when it rejects. If another transaction got in its way (`retryable`),
	 * everything is rolled back and `work` runs again, at most `retry.attempts` times. After `operationTimeoutMs`
	 * the transaction is rolled back.
	 *
	 * Inside another transaction of this store, or of the application (`withTransaction`), it joins that one.
	 *
	 * @throws TimeoutError if `work` took longer than `operationTimeoutMs`
	 * @throws UnsupportedError if the server, or the client that the store was given, has no transactions
	 */
	transaction<T>(work: (tx: SagaTransaction) => Promise<T> | T, options?: TransactionOptions): Promise<T>;
	/** Answers what is under way, then lets go of the connections. Safe to call again. */
	close(): Promise<void>;
	/** `await using store = openStore(...)` */
	[Symbol.asyncDispose](): Promise<void>;
	/** What `console.log` shows: no password. */
	[inspect.custom](): string;
}
/** Payloads in the process's own memory. */
export declare class MemorySagaStore extends SagaStore {
	constructor(...args: [
		options?: string | MemoryStoreOptions
	]);
}
/** Payloads in an SQLite file. */
export declare class SqliteSagaStore extends SagaStore {
	constructor(...args: [
		options: string | SqliteStoreOptions
	]);
}
/** Payloads in PostgreSQL. */
export declare class PostgresSagaStore extends SagaStore {
	constructor(...args: [
		options: string | PostgresStoreOptions
	]);
}
/** Payloads in Redis: a single server, Sentinel or Cluster. */
export declare class RedisSagaStore extends SagaStore {
	constructor(...args: [
		options: string | RedisStoreOptions
	]);
}
/** Payloads in MongoDB, or a server that speaks its protocol. */
export declare class MongoSagaStore extends SagaStore {
	constructor(...args: [
		options: string | MongoStoreOptions
	]);
}
/** Payloads in a DynamoDB table: `initialize` creates it and switches its TTL on. */
export declare class DynamoDBSagaStore extends SagaStore {
	constructor(...args: [
		options: string | DynamoDBStoreOptions
	]);
}
/** Opens the store that the URL's scheme names, or that works on the client given. */
export declare function openStore(...args: [
	options: string | AnyStoreOptions
]): SagaStore;

export {};
