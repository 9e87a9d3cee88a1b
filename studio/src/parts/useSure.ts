// What cannot be taken back is done at the second press.

import { useEffect, useState } from "react";

/** How long the second press is waited for. */
const SURE_MS = 5_000;

/** Whether the first press was made, and what a press does: `act`, if it is the second one. */
export function useSure(act: () => void): [boolean, () => void] {
  const [sure, setSure] = useState(false);
  useEffect(() => {
    if (!sure) return;
    const timer = setTimeout(() => setSure(false), SURE_MS);
    return () => clearTimeout(timer);
  }, [sure]);
  const press = () => {
    setSure(!sure);
    if (sure) act();
  };
  return [sure, press];
}
