export function linkExamples(): void
export const loader: string[]
