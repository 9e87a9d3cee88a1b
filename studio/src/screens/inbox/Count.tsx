import { useNow } from "../../parts/time";
import { isSnoozed, useQuestions } from "../../data/questions";
import styles from "./Inbox.module.css";

/** How many questions wait, in the rail. */
export function Count() {
  const { questions: all, hasNextPage } = useQuestions();
  const now = useNow(30_000);
  const questions = all.filter((one) => !isSnoozed(one, now));
  if (questions.length === 0) return null;
  return (
    <b className={styles.count}>
      {questions.length}{hasNextPage ? "+" : ""}<i className="visually-hidden"> waiting</i>
    </b>
  );
}
