// Forms from JSON Schema.
//
//   const form = useForm(schema, earlier);              // `earlier` may be left out
//   <Form form={form} />                                // fields, a switch to JSON, a summary of problems
//   const checked = form.check();                       // shows problems, moves the focus to the first
//   if (checked.ok) await send(checked.value);
//   catch (error) { form.refuse(error, "/input"); }     // the server's pointer lands on its field
//
// What a schema says is a field: texts, numbers, choices, lists, entries, alternatives, conditions.
// What no field fits is written as JSON, checked like all else. Nothing here knows a graph.

export { Form } from "./Form";
export { useForm, type FormState, type Checked } from "./useForm";
export { useBegun, useIsBegun } from "./useBegun";
export { initialOf } from "./value";
export { problemsOf, type Problem } from "./check";
export { labelOf, wordFor, isObject, type AnySchema, type Schema } from "./schema";
