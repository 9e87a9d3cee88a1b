/** Takes the focus out of a field; false when it is in none. The first Escape leaves the field, the
 *  second what it is in. */
export function leaveField(): boolean {
  const focused = document.activeElement;
  if (!(focused instanceof HTMLElement) || !focused.matches("input, textarea, select")) return false;
  focused.blur();
  return true;
}
