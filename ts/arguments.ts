/** Data up to here is copied by the native side at once; larger data is read in place. */
const COPIED_BYTES = 4096

/** The elements of an iterable; `undefined` if it is none, or a string. */
export function listed<T>(values: Iterable<T>): T[] | undefined {
  if (typeof values === 'string' || typeof values?.[Symbol.iterator] !== 'function') return undefined
  return Array.isArray(values) ? values : Array.from(values)
}

/** Memory that another thread may change, or that may shrink, is not read in place but copied. */
export function unshared(data: Uint8Array): Uint8Array {
  if (!(data instanceof Uint8Array) || data.byteLength <= COPIED_BYTES) return data
  const memory = data.buffer as ArrayBufferLike & { resizable?: boolean }
  return memory.resizable === true || memory instanceof SharedArrayBuffer ? Uint8Array.prototype.slice.call(data) : data
}

/** The payloads of a getMany, by id. */
export function byId(ids: readonly string[], payloads: readonly (Buffer | null)[]): Map<string, Buffer> {
  const found = new Map<string, Buffer>()
  ids.forEach((id, index) => {
    const payload = payloads[index]
    if (payload != null) found.set(id, payload)
  })
  return found
}
