import { execFile } from 'node:child_process'
import { mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { transform } from 'esbuild'
import ts from 'typescript'
import { generatePrismaClient, TEST_MODELS } from '../../scripts/prisma.mjs'
import { root } from '../support/programs'
import type { Example } from './pages'
import { PREAMBLES, STAND_INS } from './preambles'

/** Examples as programs of a project that has installed this package. */
export class Project {
  readonly #directory: string
  /** Of each program the places that its lines come from. */
  readonly #places = new Map<string, string[]>()

  constructor(directory: string) {
    this.#directory = directory
    const packages = join(directory, 'node_modules')
    mkdirSync(packages)
    for (const name of readdirSync(join(root, 'node_modules'))) {
      if (!name.startsWith('.')) symlinkSync(join(root, 'node_modules', name), join(packages, name))
    }
    symlinkSync(root, join(packages, 'sagastore'))
    symlinkSync(generatePrismaClient(TEST_MODELS, 'postgresql'), join(packages, 'my-prisma-client'))
    for (const [name, { types, code }] of Object.entries(STAND_INS)) {
      mkdirSync(join(packages, name), { recursive: true })
      const manifest = { name, type: 'module', exports: { '.': { types: './index.d.ts', default: './index.js' } } }
      writeFileSync(join(packages, name, 'package.json'), JSON.stringify(manifest))
      writeFileSync(join(packages, name, 'index.d.ts'), types)
      writeFileSync(join(packages, name, 'index.js'), code)
    }
  }

  /** Writes an example's program; answers its file. */
  add(example: Example): string {
    const { page, name, language, blocks, preambles } = example
    const code: string[] = []
    const places: string[] = []
    const add = (text: string, place: (line: number) => string) => {
      const lines = text.replace(/\n$/, '').split('\n')
      code.push(...lines)
      places.push(...lines.map((_, line) => place(line)))
    }
    for (const preamble of preambles) {
      const text = PREAMBLES[preamble]
      if (text === undefined) throw new Error(`${page}: there is no preamble '${preamble}'; there are ${Object.keys(PREAMBLES).join(', ')}`)
      add(text, () => `preamble '${preamble}'`)
    }
    for (const block of blocks) add(block.code, (line) => `${page}:${block.line + line}`)
    // A module, whatever is in it.
    code.push('export {}', '')
    const file = join(this.#directory, page.replaceAll('/', '-'), name, `program.m${language}`)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, code.join('\n'))
    this.#places.set(file, places)
    return file
  }

  /** What `tsc` says of all of them under `strict`, by the places in the documents. */
  typeErrors(): string[] {
    const program = ts.createProgram([...this.#places.keys()], {
      target: ts.ScriptTarget.ES2022,
      lib: ['lib.es2023.d.ts', 'lib.esnext.disposable.d.ts'],
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      strict: true,
      noUncheckedIndexedAccess: true,
      allowJs: true,
      checkJs: true,
      skipLibCheck: true,
      noEmit: true,
      types: ['node'],
      typeRoots: [join(root, 'node_modules', '@types')],
    })
    return ts.getPreEmitDiagnostics(program).map(({ file, start, messageText }) => {
      const message = ts.flattenDiagnosticMessageText(messageText, '\n')
      if (file === undefined || start === undefined) return message
      const line = file.getLineAndCharacterOfPosition(start).line
      return `${this.#places.get(file.fileName)?.[line] ?? `${file.fileName}:${line + 1}`}: ${message}`
    })
  }

  /** Runs an example; answers what it has printed. `replaced` are URLs that stand in it for those of servers. */
  async run(
    file: string,
    { replaced = {}, env = {} }: { replaced?: Record<string, string>; env?: Record<string, string> },
  ): Promise<string> {
    let text = ts.sys.readFile(file) ?? ''
    for (const [url, by] of Object.entries(replaced)) text = text.replaceAll(`'${url}'`, JSON.stringify(by))
    const { code } = await transform(text, { loader: 'ts', target: 'node20', format: 'esm' })
    const program = file.replace(/\.m[jt]s$/, '.run.mjs')
    writeFileSync(program, code)
    const options = { cwd: dirname(file), env: { ...process.env, ...env }, timeout: 50_000 }
    const { stdout } = await promisify(execFile)(process.execPath, [program], options).catch((error) => {
      throw new Error(`${file} ended with ${error.code ?? error.signal}: ${error.stderr}${error.stdout}`)
    })
    return stdout
  }
}

/** Whether `printed` is what a document shows, where `…` stands for anything within a line. */
export function isShown(printed: string, shown: string): boolean {
  const parts = shown.split('…').map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`).test(printed)
}
