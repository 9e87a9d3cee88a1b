// All screens. A new one is a folder beside this file and an entry here: the rail, the palette,
// the keys and the addresses follow from it.

import { lazy, type ComponentType, type LazyExoticComponent } from "react";
import type { IconName } from "../parts/icons";
import { Count as Waiting } from "./inbox/Count";

export interface Screen {
  /** Below `/studio`. */
  path: string;
  /** Further addresses of the same screen. */
  inside?: string;
  label: string;
  icon: IconName;
  /** Second key after `g`. */
  key: string;
  Component: LazyExoticComponent<ComponentType>;
  /** Shown beside the label in the rail: how much waits there. */
  Count?: ComponentType;
}

export const screens: Screen[] = [
  { path: "/", label: "Home", icon: "home", key: "h", Component: lazy(() => import("./home/Home")) },
  {
    path: "/threads", inside: "/threads/:id", label: "Threads", icon: "threads", key: "t",
    Component: lazy(() => import("./threads/Threads")),
  },
  {
    path: "/inbox", inside: "/inbox/:id", label: "Inbox", icon: "inbox", key: "i", Count: Waiting,
    Component: lazy(() => import("./inbox/Inbox")),
  },
  {
    path: "/desk", inside: "/desk/:id", label: "Desk", icon: "desk", key: "d",
    Component: lazy(() => import("./desk/Desk")),
  },
  {
    path: "/graphs", inside: "/graphs/:id", label: "Graphs", icon: "graphs", key: "g",
    Component: lazy(() => import("./graphs/Graphs")),
  },
  {
    path: "/assistants", inside: "/assistants/:id", label: "Assistants", icon: "assistants", key: "a",
    Component: lazy(() => import("./assistants/Assistants")),
  },
  { path: "/store", label: "Store", icon: "store", key: "s", Component: lazy(() => import("./store/Store")) },
  { path: "/wire", label: "Wire", icon: "wire", key: "w", Component: lazy(() => import("./wire/Wire")) },
  { path: "/settings", label: "Settings", icon: "settings", key: ",", Component: lazy(() => import("./settings/Settings")) },
];
