import { existsSync, readdirSync, statSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { describe, expect, it } from 'vitest'
import { root } from '../support/programs'
import { type Page, pagesWithCode, readPage } from './pages'

const pages = [
  ...pagesWithCode(),
  readPage('CONTRIBUTING.md'),
  ...['CHANGELOG.md', 'SECURITY.md', 'CODE_OF_CONDUCT.md', 'examples/README.md'].map(readPage),
]

/** The text of a page without its blocks of code. */
const prose = (page: Page) => page.text.replace(/^( *)```.*?^\1```$/gms, '')

/** The anchors of a page's headings, as GitHub and npm make them. */
function anchorsOf(page: Page): Set<string> {
  const anchors = new Set<string>()
  for (const [, heading] of prose(page).matchAll(/^#+ (.*)$/gm)) {
    const text = (heading as string).replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').toLowerCase()
    const anchor = text.replace(/[^\p{Letter}\p{Number}_ -]/gu, '').replaceAll(' ', '-')
    let unique = anchor
    for (let n = 1; anchors.has(unique); n += 1) unique = `${anchor}-${n}`
    anchors.add(unique)
  }
  return anchors
}

/** The targets of a page's links, those of pictures included. */
function linksOf(page: Page): string[] {
  return [...prose(page).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target as string)
}

/** What is wrong with a link; `undefined` if nothing is. */
function problem(page: Page, link: string): string | undefined {
  if (/^https?:/.test(link)) return
  const [path = '', anchor] = link.split('#')
  const target = path === '' ? page.path : normalize(join(dirname(page.path), path))
  if (!existsSync(join(root, target))) return `${page.path}: ${link} leads to nothing`
  if (anchor === undefined) return
  const known = pages.find((other) => other.path === target) ?? readPage(target)
  return anchorsOf(known).has(anchor) ? undefined : `${page.path}: ${link}: there is no such heading`
}

describe('links', () => {
  it('lead to files and headings that are there', () => {
    const links = pages.flatMap((page) => linksOf(page).map((link) => ({ page, link })))
    expect(links.length).toBeGreaterThan(80)
    expect(links.flatMap(({ page, link }) => problem(page, link) ?? [])).toEqual([])
  })

  it('of the README lead to single files: npm makes addresses of the repository of them', () => {
    const [readme] = pages as [Page]
    for (const link of linksOf(readme).filter((target) => !/^(https?:|#)/.test(target))) {
      expect(link).not.toMatch(/^\/|^\.\.|\\/)
      expect(statSync(join(root, link.split('#')[0] as string)).isFile(), link).toBe(true)
    }
  })

  it('finds what is broken', () => {
    const page: Page = { path: 'docs/page.md', text: '# `A` word: one\n\n# A word one\n', blocks: [] }
    expect([...anchorsOf(page)]).toEqual(['a-word-one', 'a-word-one-1'])
    for (const link of ['nothing.md', '../README.md#nothing']) expect(problem(page, link)).toContain(link)
    expect(problem(page, 'https://example.com/x')).toBeUndefined()
  })
})

describe('docs/README.md', () => {
  it('has a line for each document', () => {
    const index = pages.find((page) => page.path === 'docs/README.md') as Page
    const listed = linksOf(index).filter((link) => /^[\w-]+\.md$/.test(link))
    const documents = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md') && name !== 'README.md')
    expect(listed.sort()).toEqual(documents.sort())
  })
})

describe('sources that documents name', () => {
  it('are there', () => {
    const named = pages
      .filter((page) => page.path !== 'CHANGELOG.md')
      .flatMap((page) =>
        [...page.text.matchAll(/`((?:src|ts|scripts|bench|examples|__test__)\/[\w./-]*)`/g)].map(([, path]) => ({
          page,
          path: path as string,
        })),
      )
    expect(named.length).toBeGreaterThan(15)
    // What a benchmark makes is not there before.
    const made = (path: string) => path.startsWith('bench/results/') || path === 'bench/node_modules'
    const missing = named.filter(({ path }) => !made(path) && !existsSync(join(root, path)))
    expect(missing.map(({ page, path }) => `${page.path}: ${path}`)).toEqual([])
  })
})
