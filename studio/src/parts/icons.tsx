// Icons of 16 by 16, drawn here: a line of one and a half, the colour of the text.

import type { ReactNode } from "react";

const paths: Record<string, ReactNode> = {
  home: <path d="M2.5 7.5 8 3l5.5 4.5V13h-4V9.5h-3V13h-4z" />,
  threads: <path d="M2.5 4h7M2.5 8h11M2.5 12h8M12.5 4h1" />,
  inbox: <path d="M2.5 9.5 4.2 3.5h7.6l1.7 6v3h-11zM2.5 9.5h3.2c.3 1.2 1.1 1.8 2.3 1.8s2-.6 2.3-1.8h3.2" />,
  desk: <path d="M3 13l.8-3L10.5 3.3l2.2 2.2L6 12.2zM9 5l2 2M9.5 13H13" />,
  graphs: <path d="M5.2 4h5.6M4 5.4v5.2M5 5.2l6 5.6M5.5 4a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zM13.5 4a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zM5.5 12a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0zM13.5 12a1.5 1.5 0 1 1-3 0 1.5 1.5 0 0 1 3 0z" />,
  assistants: <path d="M8 2v2M4 5.5h8a1 1 0 0 1 1 1v5a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1v-5a1 1 0 0 1 1-1zM6 8.2v1.3M10 8.2v1.3" />,
  store: <path d="M3 4.5C3 3.4 5.2 2.5 8 2.5s5 .9 5 2-2.2 2-5 2-5-.9-5-2zM3 4.5v7c0 1.1 2.2 2 5 2s5-.9 5-2v-7M3 8c0 1.1 2.2 2 5 2s5-.9 5-2" />,
  wire: <path d="M2.5 5.5h9M9 3l2.5 2.5L9 8M13.5 10.5h-9M7 8l-2.5 2.5L7 13" />,
  settings: <path d="M2.5 4.5h5M11 4.5h2.5M2.5 11.5H5M8.5 11.5h5M9.2 3v3M6.8 10v3" />,
  search: <path d="M7 11.5a4.5 4.5 0 1 0 0-9 4.5 4.5 0 0 0 0 9zM10.4 10.4l3.1 3.1" />,
  plus: <path d="M8 3v10M3 8h10" />,
  minus: <path d="M3 8h10" />,
  close: <path d="M4 4l8 8M12 4l-8 8" />,
  copy: <path d="M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z" />,
  more: <path d="M3.5 8h.01M8 8h.01M12.5 8h.01" strokeWidth="2.2" />,
  chevron: <path d="M6 3.5 10.5 8 6 12.5" />,
  up: <path d="M3.5 10 8 5.5l4.5 4.5" />,
  down: <path d="M3.5 6 8 10.5 12.5 6" />,
  play: <path d="M5 3.2v9.6L12.5 8z" />,
  stop: <path d="M4 4h8v8H4z" />,
  fork: <path d="M4.5 2.5v11M4.5 9c4 0 6.5-1 6.5-5M13 5.5l-2-2.2-2 2.2" />,
  pin: <path d="M8 9.5v4M5 2.5h6l-1 4 1.5 3h-7L6 6.5z" />,
  download: <path d="M8 2.5v7.5M5 7.5 8 10.5l3-3M2.5 13.5h11" />,
  sun: <path d="M8 10.7a2.7 2.7 0 1 0 0-5.4 2.7 2.7 0 0 0 0 5.4zM8 1.5v1.5M8 13v1.5M1.5 8H3M13 8h1.5M3.4 3.4l1 1M11.6 11.6l1 1M3.4 12.6l1-1M11.6 4.4l1-1" />,
  moon: <path d="M13 9.5A5.5 5.5 0 1 1 6.5 3 4.5 4.5 0 0 0 13 9.5z" />,
  external: <path d="M6.5 3.5h-4v10h10v-4M9 2.5h4.5V7M13.5 2.5 7.5 8.5" />,
  menu: <path d="M2.5 4.5h11M2.5 8h11M2.5 11.5h11" />,
  clip: <path d="M12.5 7.2 7.6 12a2.8 2.8 0 0 1-4-4l5.2-5.1a1.9 1.9 0 0 1 2.7 2.7L6.300 10.700a.9.9 0 0 1-1.300-1.300L9.600 4.900" />,
  picture: <path d="M2.500 3.500h11v9h-11zM2.500 10.500l3-3 3 3 2-2 3 3M10.500 6h.01" />,
  page: <path d="M4 2.500h5.500L12 5v8.500H4zM9.500 2.500V5H12M6 8h4M6 10.500h4" />,
  tag: <path d="M2.500 2.500h5.500l5.500 5.500-5.500 5.500L2.500 8zM5.500 5.500h.01" />,
  fit: <path d="M2.5 6V2.5H6M10 2.5h3.5V6M13.5 10v3.5H10M6 13.5H2.5V10" />,
};

export type IconName = keyof typeof paths;

/** Decoration: what an icon says is said in words beside it or in the label of its button. */
export function Icon({ name, size = 16 }: { name: IconName; size?: number }) {
  return (
    <svg
      width={size} height={size} viewBox="0 0 16 16" fill="none" stroke="currentColor"
      strokeWidth="1.4" strokeLinecap="round" strokeLinejoin="round" aria-hidden="true"
      focusable="false"
    >
      {paths[name]}
    </svg>
  );
}
