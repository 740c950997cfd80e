import { Presets, SingleBar } from 'cli-progress'
import type { Output } from './output'
import { counted, shownBytes, shownDuration } from './quantities'

/** How far something is. */
export interface Progress {
  what: string
  done: number
  /** About how many there are; null: nobody knows. */
  total: number | null
  /** Whether `total` is an estimate. */
  approximate?: boolean
  bytes?: number
  failed?: number
  perSecond?: number
  etaMs?: number | null
}

/** A line where no bar can be drawn, so often. */
const LINE_EVERY_MS = 5_000

/** A bar on a terminal, a line every five seconds elsewhere, nothing with `--quiet`; all on stderr. */
export class ProgressBar {
  readonly #out: Output
  readonly #isQuiet: boolean
  #bar: SingleBar | undefined
  #last = Date.now()
  #what: string | undefined

  constructor(out: Output) {
    this.#out = out
    this.#isQuiet = out.isQuiet
  }

  show(progress: Progress): void {
    if (this.#isQuiet) return
    if (process.stderr.isTTY) this.#draw(progress)
    else if (Date.now() - this.#last >= LINE_EVERY_MS) {
      this.#last = Date.now()
      this.#out.note(lineOf(progress))
    }
  }

  /** Leaves the terminal as it was: what comes next stands on a line of its own. */
  end(): void {
    this.#bar?.stop()
    this.#bar = undefined
  }

  #draw(progress: Progress): void {
    if (this.#what !== progress.what) {
      this.end()
      this.#what = progress.what
    }
    this.#bar ??= this.#begin(progress)
    const total = Math.max(progress.total ?? progress.done, progress.done, 1)
    this.#bar.setTotal(total)
    this.#bar.update(progress.done, { text: lineOf(progress) })
  }

  #begin({ what }: Progress): SingleBar {
    const bar = new SingleBar(
      {
        stream: process.stderr,
        hideCursor: false,
        clearOnComplete: false,
        linewrap: false,
        fps: 8,
        barsize: 20,
        // Counted by the format below: a narrow terminal has no room for a bar.
        format: (options, params, payload: { text: string }) => {
          const columns = process.stderr.columns ?? 80
          const size = Math.min(24, columns - payload.text.length - 10)
          const done = Math.round(params.progress * size)
          const bar =
            size < 5
              ? ''
              : `${(options.barCompleteString ?? '').slice(0, done)}${(options.barIncompleteString ?? '').slice(0, size - done)} `
          const percent = `${Math.floor(params.progress * 100)}%`.padStart(4)
          return `${bar}${percent} ${payload.text}`.slice(0, columns - 1)
        },
      },
      Presets.shades_classic,
    )
    bar.start(1, 0, { text: what })
    return bar
  }
}

/** Such as `payloads 1,000 of about 5,000, 12.0 MiB, 800/s, 5 s left`. */
function lineOf({ what, done, total, approximate, bytes, failed, perSecond, etaMs }: Progress): string {
  const parts = [
    `${what} ${done.toLocaleString('en-US')}${total === null ? '' : ` of ${approximate ? 'about ' : ''}${total.toLocaleString('en-US')}`}`,
  ]
  if (bytes !== undefined) parts.push(shownBytes(bytes))
  if (failed !== undefined && failed > 0) parts.push(`${counted(failed, 'failure')}`)
  if (perSecond !== undefined) parts.push(`${Math.round(perSecond).toLocaleString('en-US')}/s`)
  if (etaMs !== undefined && etaMs !== null && etaMs > 0) parts.push(`${shownDuration(etaMs)} left`)
  return parts.join(', ')
}
