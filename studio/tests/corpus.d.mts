export const corpus: readonly unknown[];
