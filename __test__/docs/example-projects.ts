import { execFile, execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { promisify } from 'node:util'
import ts from 'typescript'
import { loader } from '../../scripts/examples.mjs'
import { LOCAL_CREDENTIALS } from '../../scripts/services/servers.mjs'
import { root } from '../support/programs'

export const exampleNames = readdirSync(join(root, 'examples'), { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'node_modules')
  .map(({ name }) => name)
  .sort()

interface Manifest {
  name: string
  private: boolean
  type: string
  scripts: Record<string, string>
  dependencies: Record<string, string>
  devDependencies: Record<string, string>
}

const installed = (name: string) => join(root, 'node_modules', name)

const sources = (folder: string) => readdirSync(folder).filter((name) => name.endsWith('.ts'))

/** An example in a folder of its own, outside of the tree, with the packages that its package.json names and no others. */
export class ExampleProject {
  readonly folder: string
  readonly manifest: Manifest

  constructor(name: string, within: string) {
    this.folder = join(within, name)
    cpSync(join(root, 'examples', name), this.folder, {
      recursive: true,
      filter: (path) => !/[/\\](node_modules|client)$/.test(path),
    })
    this.manifest = JSON.parse(readFileSync(join(this.folder, 'package.json'), 'utf8'))
    for (const name of Object.keys({ ...this.manifest.dependencies, ...this.manifest.devDependencies })) {
      this.#link(name, name === 'sagastore' ? root : installed(name))
    }
    // What `prisma generate` writes imports a package of @prisma/client, which npm installs beside it.
    if (this.manifest.dependencies['@prisma/client'] !== undefined) {
      this.#link('@prisma/client-runtime-utils', installed('@prisma/client-runtime-utils'))
    }
    if (this.manifest.scripts.prestart === 'prisma generate') this.#generate()
  }

  #link(name: string, to: string): void {
    const link = join(this.folder, 'node_modules', name)
    mkdirSync(join(link, '..'), { recursive: true })
    symlinkSync(to, link)
  }

  #generate(): void {
    const prisma = createRequire(join(this.folder, 'index.ts')).resolve('prisma/build/index.js')
    // The engine is not needed to generate; if it has a name, it is not downloaded.
    const env = { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: '1' }
    execFileSync(process.execPath, [prisma, 'generate', '--no-hints'], { cwd: this.folder, env, stdio: 'pipe' })
  }

  /** The packages that its sources import. */
  imports(): string[] {
    const texts = sources(this.folder).map((name) => readFileSync(join(this.folder, name), 'utf8'))
    const found = texts.flatMap((text) => ts.preProcessFile(text).importedFiles.map(({ fileName }) => fileName))
    const names = found.filter((name) => !/^(\.|node:)/.test(name)).map((name) => name.match(/^(@[^/]+\/)?[^/]+/)?.[0] as string)
    return [...new Set(names)].sort()
  }

  /** What `npm run check` looks at, and how. */
  compilation(): { files: string[]; options: ts.CompilerOptions } {
    const { config } = ts.readConfigFile(join(this.folder, 'tsconfig.json'), ts.sys.readFile)
    const { fileNames, options } = ts.parseJsonConfigFileContent(config, ts.sys, this.folder)
    return { files: fileNames, options }
  }

  /** Its files, but for packages. */
  files(): string[] {
    return readdirSync(this.folder).sort()
  }

  /** What `npm start -- ...args` prints. */
  async run(...args: string[]): Promise<string> {
    const { accessKeyId, secretAccessKey } = LOCAL_CREDENTIALS
    const endpoint = new URL(process.env.DYNAMODB_URL ?? 'dynamodb://local').searchParams.get('endpoint')
    const env = {
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
      ...process.env,
      ...(endpoint === null ? {} : { DYNAMODB_ENDPOINT: endpoint }),
    }
    const { stdout } = await promisify(execFile)(process.execPath, [...loader, 'index.ts', ...args], { cwd: this.folder, env })
    return stdout
  }
}

/** What `npm run check` of each project would say. Those of the same options are looked at together: the libraries only once. */
export function typeErrorsOf(projects: readonly ExampleProject[]): string[] {
  const programs = new Map<string, { files: string[]; options: ts.CompilerOptions }>()
  for (const { files, options } of projects.map((project) => project.compilation())) {
    const { configFilePath: _, ...same } = options
    const key = JSON.stringify(same)
    programs.set(key, { files: [...(programs.get(key)?.files ?? []), ...files], options })
  }
  return [...programs.values()].flatMap(({ files, options }) =>
    ts.getPreEmitDiagnostics(ts.createProgram(files, options)).map(({ file, start = 0, messageText }) => {
      const place = file === undefined ? '' : `${file.fileName}:${file.getLineAndCharacterOfPosition(start).line + 1}: `
      return `${place}${ts.flattenDiagnosticMessageText(messageText, '\n')}`
    }),
  )
}
