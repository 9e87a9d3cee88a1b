//! The native socket: the conversations that its handbook page is made of, and what it keeps under
//! cuts and slow readers.

mod conversations;
mod cuts;
mod early;
mod kit;
mod readers;
