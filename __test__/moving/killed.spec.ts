import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { verify } from '../../index.js'
import { startProgram } from '../support/programs'
import { missing, targets, temporaryDirectory } from '../support/targets'
import { everything, fill, fillPayloads, storeAt } from './stores'

/** Where data outlives a process. */
const TARGETS = (process.env.MOVING_BACKENDS ?? 'redis,sqlite').split(',')

/** Moves everything, and appends each checkpoint to a file. */
const MOVER = `
  const { appendFileSync, existsSync, readFileSync } = require('node:fs')
  const [source, target] = [args.source, args.target].map((options) => sagastore.openStore(options))
  const known = existsSync(args.checkpoints) ? readFileSync(args.checkpoints, 'utf8').split('\\n').filter(Boolean) : []
  const resumeFrom = known.at(-1)
  const moving = sagastore.transfer(source, target, { batchSize: 20, ...(resumeFrom && { resumeFrom }) })
  for await (const { checkpoint } of moving) appendFileSync(args.checkpoints, checkpoint + '\\n')
  await moving
  await source.close()
  await target.close()
`

const KILLS = Number(process.env.MOVING_KILLS ?? 10)

const available = targets.filter((target) => TARGETS.includes(target.name) && !missing(target))

it.each(available)(
  `movers on $name that are killed at ${KILLS} moments and go on leave both sides equal`,
  async ({ options }) => {
    const from = options()
    const source = await storeAt(from)
    await fill(source, 300)
    await fillPayloads(source, 4_000)
    const all = await everything(source)
    for (let killed = 0; killed < KILLS; ) {
      const args = { source: from, target: options(), checkpoints: join(temporaryDirectory(), 'checkpoints') }
      const target = await storeAt(args.target)
      for (;;) {
        const mover = startProgram(MOVER, args)
        const timer = setTimeout(() => mover.child.kill('SIGKILL'), killed < KILLS ? 60 + Math.random() * 600 : 120_000)
        const { code, signal, stderr } = await mover.done
        clearTimeout(timer)
        if (signal === 'SIGKILL') {
          killed += 1
          withoutCutOff(args.checkpoints)
          continue
        }
        expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
        break
      }
      expect(await everything(target)).toEqual(all)
      expect(await verify(source, target)).toMatchObject({ equal: true, missing: 0, extra: 0, same: all.length })
    }
  },
  240_000,
)

/** Whoever was killed while it wrote a checkpoint has left a part of a line. */
function withoutCutOff(path: string): void {
  if (!existsSync(path)) return
  const text = readFileSync(path, 'utf8')
  writeFileSync(path, text.slice(0, text.lastIndexOf('\n') + 1))
}
