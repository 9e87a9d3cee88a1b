import styles from "./OpenMounts.module.css";

/** Whether a drawing shows what is inside mounted graphs. It lies over the drawing's corner. */
export function OpenMounts({ all, onChange }: { all: boolean; onChange: (all: boolean) => void }) {
  return (
    <label className={styles.open}>
      <input type="checkbox" checked={all} onChange={(event) => onChange(event.target.checked)} />
      Open mounted graphs
    </label>
  );
}
