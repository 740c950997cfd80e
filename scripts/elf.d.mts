export function neededVersions(file: Buffer): Map<string, string[]> | undefined
export function neededGlibc(file: Buffer): string | undefined
export function byVersion(a: string, b: string): number
