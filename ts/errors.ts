import type { ExecutionStatus } from './kinds/execution-types'
import type { MovedCounts, RejectedRecord, Verification } from './moving/types'

/** Every reason for which an operation can be rejected. */
export type SagaStoreErrorCode =
  | 'NOT_FOUND'
  | 'ALREADY_EXISTS'
  | 'CONCURRENCY_CONFLICT'
  | 'PAYLOAD_TOO_LARGE'
  | 'ALREADY_EXPIRED'
  | 'INVALID_ARGUMENT'
  | 'CONNECTION'
  | 'TIMEOUT'
  | 'SERIALIZATION'
  | 'CORRUPT_DATA'
  | 'UNSUPPORTED'
  | 'LEASE_LOST'
  | 'INVALID_STATE'
  | 'CLOSED'
  | 'TRANSFER'
  | 'BACKEND'

/** The fields of an error, as the native side hands them over. */
export interface Failure {
  code: SagaStoreErrorCode
  message: string
  backend?: string
  operation?: string
  id?: string
  retryable: boolean
  causes: string[]
  details: Record<string, number | string>
  /** What a client of the application threw: the cause itself, in place of `causes`. */
  cause?: unknown
}

/** What every rejection is an instance of. Its stack reaches the caller's `await`. */
export class SagaStoreError extends Error {
  /** The type that `instanceof` narrows to (TypeScript 5.3): all classes of this one, so that `code` tells them apart. */
  declare static readonly [Symbol.hasInstance]: <C extends { readonly prototype: unknown }>(
    this: C,
    value: unknown,
  ) => value is Extract<AnySagaStoreError, C['prototype']>
  /** What went wrong. */
  declare readonly code: SagaStoreErrorCode
  /** Such as `postgres`, once known. */
  declare readonly backend?: string
  /** The operation that failed, such as `put`. */
  declare readonly operation?: string
  /** The record, where there is one. */
  declare readonly id?: string
  /** Whether the same call may succeed later. */
  declare readonly retryable: boolean
  /** How often it was tried, where that was more than once. */
  declare readonly attempts?: number

  /** @internal The store makes them. */
  constructor(failure: Failure) {
    const cause = failure.cause ?? chain(failure.causes)
    super(describe(failure), cause === undefined ? undefined : { cause })
    // Where an application has frozen Error.prototype, its names cannot be assigned to.
    Object.defineProperty(this, 'name', { value: new.target.name, configurable: true, enumerable: true, writable: true })
    this.code = failure.code
    if (failure.backend !== undefined) this.backend = failure.backend
    if (failure.operation !== undefined) this.operation = failure.operation
    if (failure.id !== undefined) this.id = failure.id
    this.retryable = failure.retryable
    Object.assign(this, failure.details)
  }
}

/** `NOT_FOUND`: no record has this id, or it has expired. */
export class NotFoundError extends SagaStoreError {
  declare readonly code: 'NOT_FOUND'
  /** Of a payload that has expired and is still there: when it ceased to exist. */
  declare readonly expiredAt?: Date
}

/** `ALREADY_EXISTS`: the saga id, the correlation id or the event id is taken, or a message was accepted before. */
export class AlreadyExistsError extends SagaStoreError {
  declare readonly code: 'ALREADY_EXISTS'
  /** Of saga state. */
  declare readonly sagaName?: string
  /** Where it is the saga id that is taken. */
  declare readonly sagaId?: string
  /** Where it is the correlation id that is taken. */
  declare readonly correlationId?: string
}

/** `CONCURRENCY_CONFLICT`: another update came between. */
export class ConcurrencyError extends SagaStoreError {
  declare readonly code: 'CONCURRENCY_CONFLICT'
  /** Of saga state. */
  declare readonly sagaName?: string
  declare readonly sagaId: string
  declare readonly expectedVersion: number
  /** The version that is stored. */
  declare readonly actualVersion: number
}

/** `SERIALIZATION`: a state that JSON cannot keep. */
export class SerializationError extends SagaStoreError {
  declare readonly code: 'SERIALIZATION'
  /** What of it: such as `order.items[2].price`. */
  declare readonly path: string
}

/** `PAYLOAD_TOO_LARGE`: refused before anything was sent; the log of an execution, before anything was stored. */
export class PayloadTooLargeError extends SagaStoreError {
  declare readonly code: 'PAYLOAD_TOO_LARGE'
  /** The payload's bytes. */
  declare readonly size: number
  /** The bytes that the backend, or `maxPayloadBytes`, allows. */
  declare readonly limit: number
}

/** `ALREADY_EXPIRED`: `expiresAt` has passed and `lateRetentionMs` is 0. */
export class AlreadyExpiredError extends SagaStoreError {
  declare readonly code: 'ALREADY_EXPIRED'
}

/** `INVALID_ARGUMENT`: the input is wrong; the message says what is accepted. */
export class InvalidArgumentError extends SagaStoreError {
  declare readonly code: 'INVALID_ARGUMENT'
}

/** `CONNECTION`: the server cannot be reached or refuses the login, or the connection broke. */
export class ConnectionError extends SagaStoreError {
  declare readonly code: 'CONNECTION'
}

/** `TIMEOUT`: no answer within `operationTimeoutMs`. A write may or may not have happened. */
export class TimeoutError extends SagaStoreError {
  declare readonly code: 'TIMEOUT'
}

/** `CORRUPT_DATA`: what is stored cannot be read. */
export class CorruptDataError extends SagaStoreError {
  declare readonly code: 'CORRUPT_DATA'
  /** Of a list of sagas: those that cannot be read, this one among them. */
  declare readonly corrupt?: readonly CorruptSaga[]
  /** Of a list of sagas: what would have been answered without them (a page with its cursor, or sagas). Not enumerable. */
  declare readonly found?: unknown
}

/** A saga that is stored and cannot be read. */
export interface CorruptSaga {
  sagaName: string
  sagaId: string
  error: CorruptDataError
}

/** `UNSUPPORTED`: this backend, or this version of its server, cannot do it. */
export class UnsupportedError extends SagaStoreError {
  declare readonly code: 'UNSUPPORTED'
}

/** `LEASE_LOST`: another worker has the execution or the event (`id`), or its lease was ended. Stop working on it. */
export class LeaseLostError extends SagaStoreError {
  declare readonly code: 'LEASE_LOST'
  /** Of the outbox: the ids of the events, all that were given. */
  declare readonly lost?: readonly string[]
}

/** `INVALID_STATE`: the execution has ended, and nothing leads back from there without `force`; an event has been sent. */
export class InvalidStateError extends SagaStoreError {
  declare readonly code: 'INVALID_STATE'
  /** The status of the execution that is stored. */
  declare readonly status: ExecutionStatus
}

/** `CLOSED`: the store has been closed. */
export class ClosedError extends SagaStoreError {
  declare readonly code: 'CLOSED'
}

/**
 * `TRANSFER`: a move that did not end well. Records could not be moved, or what is on both sides is not the same, or the
 * move was stopped, or the checkpoint is one of another move.
 */
export class TransferError extends SagaStoreError {
  declare readonly code: 'TRANSFER'
  /** What has become of the records of each kind, up to here. */
  declare readonly counts: MovedCounts
  /** Where to go on: `resumeFrom`. Files have none. */
  declare readonly checkpoint?: string
  /** The first of the records that could not be moved, at most 100. */
  declare readonly rejected: readonly RejectedRecord[]
  /** With `verify`: what it has found. */
  declare readonly verification?: Verification
}

/**
 * Every error of a store, told apart by `code`: where it is `CONCURRENCY_CONFLICT`, `error.expectedVersion` is there.
 * `error instanceof SagaStoreError` narrows to it.
 */
export type AnySagaStoreError =
  | NotFoundError
  | AlreadyExistsError
  | ConcurrencyError
  | SerializationError
  | PayloadTooLargeError
  | AlreadyExpiredError
  | InvalidArgumentError
  | ConnectionError
  | TimeoutError
  | CorruptDataError
  | UnsupportedError
  | LeaseLostError
  | InvalidStateError
  | ClosedError
  | TransferError
  | (SagaStoreError & { readonly code: 'BACKEND' })

const classes: Partial<Record<SagaStoreErrorCode, typeof SagaStoreError>> = {
  NOT_FOUND: NotFoundError,
  ALREADY_EXISTS: AlreadyExistsError,
  CONCURRENCY_CONFLICT: ConcurrencyError,
  SERIALIZATION: SerializationError,
  PAYLOAD_TOO_LARGE: PayloadTooLargeError,
  ALREADY_EXPIRED: AlreadyExpiredError,
  INVALID_ARGUMENT: InvalidArgumentError,
  CONNECTION: ConnectionError,
  TIMEOUT: TimeoutError,
  CORRUPT_DATA: CorruptDataError,
  UNSUPPORTED: UnsupportedError,
  LEASE_LOST: LeaseLostError,
  INVALID_STATE: InvalidStateError,
  CLOSED: ClosedError,
  TRANSFER: TransferError,
}

function describe(failure: Failure): string {
  const where = [failure.backend, failure.operation].filter((part) => part !== undefined).join(' ')
  const which = failure.id === undefined ? '' : ` '${failure.id.length > 80 ? `${failure.id.slice(0, 80)}…` : failure.id}'`
  return where === '' ? failure.message : `${where}${which}: ${failure.message}`
}

function chain(causes: string[]): Error | undefined {
  return causes.reduceRight<Error | undefined>((cause, message) => new Error(message, { cause }), undefined)
}

/** Makes the error object of what the native side handed over. */
export function toError(reason: unknown): unknown {
  if (typeof reason !== 'object' || reason === null || !('code' in reason) || !('causes' in reason)) return reason
  const failure = reason as Failure
  return new (classes[failure.code] ?? SagaStoreError)(failure)
}

/**
 * The rejection handler of every operation. The error is made here, in the reaction of the
 * promise that the caller awaits, because there V8 adds the caller's async frames to the stack.
 */
export function raise(reason: unknown): never {
  throw toError(reason)
}

/** The fields of an error that is found out on this side of the boundary. */
export function failureOf(code: SagaStoreErrorCode, message: string, more: Partial<Failure> = {}): Failure {
  return { code, message, retryable: false, causes: [], details: {}, ...more }
}

/** An error that is found out on this side of the boundary. */
export function errorOf(code: SagaStoreErrorCode, message: string, more?: Partial<Failure>): SagaStoreError {
  return new (classes[code] ?? SagaStoreError)(failureOf(code, message, more))
}

/** An `INVALID_ARGUMENT` error that is found out on this side of the boundary. */
export function invalidArgument(message: string, operation?: string, backend?: string, cause?: unknown): SagaStoreError {
  return errorOf('INVALID_ARGUMENT', message, { operation, backend, cause })
}
