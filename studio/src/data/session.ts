// The reader's key, where the server asks for one. Kept for the tab, gone with it.

const KEY = "genesis-mesh.key";

export function credential(): string | null {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

export function keep(key: string | null) {
  try {
    if (key) sessionStorage.setItem(KEY, key);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Without storage the key has to be given again after a reload.
  }
}
