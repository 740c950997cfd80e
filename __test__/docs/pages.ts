import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../support/programs'

/** A block of code of a page, and what its marker says: the comment in the line before it. */
export interface Block {
  page: string
  /** The line of the page in which its first line of code stands, from 1 on. */
  line: number
  /** The first word behind the fence, such as `ts`. */
  language: string
  code: string
  /** The text of `<!-- text -->`. */
  marker?: string
}

export interface Page {
  /** From the root of the repository on, such as `docs/payloads.md`. */
  path: string
  text: string
  blocks: Block[]
}

/** The pages whose code is checked. */
export function pagesWithCode(): Page[] {
  const documents = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  return ['README.md', ...documents.map((name) => `docs/${name}`)].map(readPage)
}

export function readPage(path: string): Page {
  const text = readFileSync(join(root, path), 'utf8')
  return { path, text, blocks: blocksOf(path, text) }
}

export function blocksOf(page: string, text: string): Block[] {
  const lines = text.split('\n')
  const blocks: Block[] = []
  for (let at = 0; at < lines.length; at += 1) {
    const [, indent, language] = /^( *)```(\S*)/.exec(lines[at] as string) ?? []
    if (indent === undefined || language === undefined) continue
    const end = lines.findIndex((line, n) => n > at && line === `${indent}\`\`\``)
    if (end < 0) throw new Error(`${page}:${at + 1}: the block has no end`)
    const marker = /^ *<!-- (.*) -->$/.exec(lines[at - 1] ?? '')?.[1]
    const code = lines.slice(at + 1, end).map((line) => `${line.slice(indent.length)}\n`)
    blocks.push({ page, line: at + 2, language, code: code.join(''), ...(marker !== undefined && { marker }) })
    at = end
  }
  return blocks
}

/** What a server, or a library, is to an example. */
export const SERVERS = ['postgres', 'redis', 'mongodb', 'mongodb transactions', 'dynamodb'] as const
export type Server = (typeof SERVERS)[number]

/** A program: the blocks of a page that have one name, one behind the other. */
export interface Example {
  page: string
  name: string
  language: 'js' | 'ts'
  blocks: Block[]
  /** What its blocks take for granted: see `preambles.ts`. */
  preambles: string[]
  needs?: Server
  /** Why it is type-checked and not run. */
  typesOnly?: string
  /** What it prints; `…` stands for anything within a line. */
  output?: string
}

/** What a page's markers say. */
export interface Marked {
  examples: Example[]
  sql: { block: Block; dialects: string[] }[]
  shell: Block[]
  /** Blocks that nobody checks, and why. */
  unchecked: { block: Block; why: string }[]
  /** Blocks whose marker is missing or says nothing. */
  wrong: string[]
}

/** Sorts the blocks of a page by what is to be done with them. */
export function sorted(page: Page): Marked {
  const marked: Marked = { examples: [], sql: [], shell: [], unchecked: [], wrong: [] }
  for (const block of page.blocks) {
    const problem = sort(block, marked)
    if (problem !== undefined) marked.wrong.push(`${block.page}:${block.line}: ${problem}`)
  }
  return marked
}

function sort(block: Block, marked: Marked): string | undefined {
  const [, kind, rest = ''] = /^([a-z ]+): (.*)$/.exec(block.marker ?? '') ?? []
  if (kind === 'not run') {
    if (rest.trim().length < 10) return '`not run` must say why'
    marked.unchecked.push({ block, why: rest })
    return
  }
  // Settings of bundlers: __test__/install/bundlers.spec.ts bundles with them.
  if (kind === 'setting' && block.page === 'docs/bundlers.md') return
  // Rights: __test__/docs/rights.spec.ts works with them.
  if (kind === 'rights' && block.page === 'docs/operating.md') return
  if (block.language === 'js' || block.language === 'ts') {
    return kind === 'example' ? addExample(block, rest, marked.examples) : 'a block of code needs <!-- example: name -->'
  }
  if (block.language === 'sql') {
    const dialects = rest.split(' ')
    if (kind !== 'sql' || !dialects.every((name) => name === 'postgres' || name === 'sqlite'))
      return 'it needs <!-- sql: postgres sqlite -->'
    marked.sql.push({ block, dialects })
    return
  }
  if (block.language === 'sh') {
    marked.shell.push(block)
    return
  }
  if (block.language === 'json') {
    JSON.parse(block.code)
    return
  }
  if (kind !== 'output') return 'it needs <!-- output: name of an example -->, or <!-- not run: why -->'
  const example = marked.examples.find(({ name }) => name === rest)
  if (example === undefined) return `there is no example '${rest}' before it`
  example.output = (example.output ?? '') + block.code
  return
}

function addExample(block: Block, text: string, examples: Example[]): string | undefined {
  const [name, ...clauses] = text.split(/; ?/) as [string, ...string[]]
  const language = block.language as 'js' | 'ts'
  const known = examples.find((example) => example.name === name)
  if (known !== undefined) {
    known.blocks.push(block)
    return known.language === language && clauses.length === 0 ? undefined : 'an example goes on in its language, and without clauses'
  }
  const example: Example = { page: block.page, name, language, blocks: [block], preambles: [] }
  examples.push(example)
  for (const clause of clauses) {
    const [, word, what = ''] = /^(needs|with|types only:) (.+)$/.exec(clause) ?? []
    if (word === 'needs' && (SERVERS as readonly string[]).includes(what)) example.needs = what as Server
    else if (word === 'with') example.preambles = what.split(' ')
    else if (word === 'types only:') example.typesOnly = what
    else return `'${clause}' is none of: needs ${SERVERS.join('|')}; with a preamble; types only: why`
  }
  return
}
