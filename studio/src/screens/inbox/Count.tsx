import { useQuestions } from "../../data/questions";
import styles from "./Inbox.module.css";

/** How many questions wait, in the rail. */
export function Count() {
  const { questions, hasNextPage } = useQuestions();
  if (questions.length === 0) return null;
  return (
    <b className={styles.count}>
      {questions.length}{hasNextPage ? "+" : ""}<i className="visually-hidden"> waiting</i>
    </b>
  );
}
