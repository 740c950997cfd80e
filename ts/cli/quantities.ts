const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 }
const SIZES: Record<string, number> = { '': 1, k: 1_024, m: 1_024 ** 2, g: 1_024 ** 3 }

/** Milliseconds of a duration such as `90s`, `1h30m` or `7d`; undefined if it is none. */
export function millisecondsOf(text: string): number | undefined {
  if (!/^(\d+(\.\d+)?(ms|[smhdw]))+$/.test(text)) return undefined
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+(?:\.\d+)?)(ms|[smhdw])/g)) total += Number(amount) * (UNITS[unit as string] as number)
  return Number.isSafeInteger(Math.round(total)) ? Math.round(total) : undefined
}

/** Bytes of a size such as `65536`, `64k` or `10M`; undefined if it is none. */
export function bytesOf(text: string): number | undefined {
  const [, amount, unit] = /^(\d+)([kmg]?)$/i.exec(text) ?? []
  if (amount === undefined || unit === undefined) return undefined
  const bytes = Number(amount) * (SIZES[unit.toLowerCase()] as number)
  return Number.isSafeInteger(bytes) && bytes > 0 ? bytes : undefined
}

/** The time that ISO 8601 text means; undefined if it means none. */
export function dateOf(text: string): Date | undefined {
  if (!/^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?$/.test(text)) return undefined
  const date = new Date(text)
  return Number.isNaN(date.getTime()) ? undefined : date
}

/** How long a duration is, in its two largest units. */
export function shownDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)} ms`
  const parts: string[] = []
  let rest = ms
  for (const unit of ['d', 'h', 'm', 's']) {
    const size = UNITS[unit] as number
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) parts.push(`${count} ${unit}`)
    if (parts.length === 2) break
  }
  return parts.join(' ')
}

/** How many bytes, in a unit that fits. */
export function shownBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB']
  const at = bytes < 1_024 ? 0 : Math.min(units.length - 1, Math.floor(Math.log(bytes) / Math.log(1_024)))
  return `${at === 0 ? bytes : (bytes / 1_024 ** at).toFixed(1)} ${units[at]}`
}

/** How far a time is from now. */
export function shownDistance(at: Date, now = Date.now()): string {
  const distance = at.getTime() - now
  return distance >= 0 ? `in ${shownDuration(distance)}` : `${shownDuration(-distance)} ago`
}

/** A word in the number that a count asks for. */
export function counted(count: number, word: string, several = `${word}s`): string {
  return `${count.toLocaleString('en-US')} ${count === 1 ? word : several}`
}
