//! The blogger from outside: its graph on scripted models and given documents.

mod blogger;
mod request;
