use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use mesh_graph::{Mode, PieceFrame};
use serde_json::{Map, Value as Json, json};
use uuid::Uuid;

use super::waiting::{Taken, Waiting};
use crate::{
    early::{Growth, News, Said, Told},
    log::{Entry, Kind},
};

const RUN: Uuid = Uuid::from_u128(7);

fn said(id: &str) -> Arc<Said> {
    let message = json!({ "type": "AIMessageChunk", "id": id, "content": "", "more": [1] });
    let facts = Map::from_iter([("langgraph_node".to_owned(), json!("write"))]);
    let frame = Arc::new(PieceFrame::new(&message, facts).unwrap());
    let entry = Entry {
        data: Bytes::new(),
        ..Entry::of_run(RUN, Kind::Event(Mode::Messages), 0, &Json::Null)
    };
    Arc::new(Said { frame, entry })
}

fn other(n: usize) -> Entry {
    Entry::of_run(RUN, Kind::Event(Mode::Custom), 0, &json!(n))
}

/// What an entry tells: which other one it is, or text of a message.
#[derive(Debug, PartialEq)]
enum Heard {
    Other(u64),
    Text(String, u64, String),
}

fn heard(entry: &Entry) -> Heard {
    let data: Json = serde_json::from_slice(&entry.data).unwrap();
    match entry.text_at {
        None => Heard::Other(data.as_u64().unwrap()),
        Some(at) => {
            let text = |member: &str| data[0][member].as_str().unwrap().to_owned();
            assert_eq!(data[0]["more"], json!([1]));
            assert_eq!(data[1], json!({ "langgraph_node": "write" }));
            Heard::Text(text("id"), at, text("content"))
        }
    }
}

/// A thread's log, what waits for it, and the text that is told before.
struct World {
    waiting: Waiting,
    growth: Growth,
    log: Vec<Entry>,
    /// Written, and not known to whoever told it.
    unsettled: Option<Taken>,
}

impl World {
    fn new(merges: bool) -> Self {
        let (waiting, growth) = (Waiting::new(merges), Growth::default());
        Self { waiting, growth, log: Vec::new(), unsettled: None }
    }

    fn tell(&mut self) {
        let growth = &mut self.growth;
        self.waiting.tell(|said, from, text, behind| {
            growth.add(said, from, text, behind);
        });
    }

    /// What waits is stored, and whoever reads the log sees it.
    fn write(&mut self) {
        let mut taken = self.waiting.take(u64::MAX, true);
        for entry in &mut taken.entries {
            entry.seq = self.log.len() as u64 + 1;
            self.log.push(entry.clone());
            self.growth.settle(entry);
        }
        self.unsettled = Some(taken);
    }

    fn settle(&mut self) {
        if let Some(taken) = self.unsettled.take() {
            self.waiting.keep(taken);
        }
        self.tell();
    }
}

/// A reader that is told early.
#[derive(Default)]
struct Reader {
    at: usize,
    told: Told,
    texts: HashMap<String, String>,
    /// The others that it heard of, with the length of all text by then.
    others: Vec<u64>,
}

impl Reader {
    fn read(&mut self, world: &World) {
        if let Some(entry) = world.log.get(self.at) {
            self.at += 1;
            if let News::Entry(entry) = self.told.take(entry.clone()) {
                match heard(&entry) {
                    Heard::Other(n) => self.others.push(n),
                    Heard::Text(id, at, text) => self.hear(&id, at, &text),
                }
            }
        } else if let Some(early) = world.growth.next(self.at as u64, None, &mut self.told) {
            self.hear(early.said.frame.id(), early.at, &early.text);
        }
    }

    /// Adds text, which has to begin where the reader is.
    fn hear(&mut self, id: &str, at: u64, text: &str) {
        let known = self.texts.entry(id.to_owned()).or_default();
        assert_eq!(known.chars().count() as u64, at, "{id}: {known} and then {text}");
        known.push_str(text);
    }
}

/// A sequence of numbers that looks like chance.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

#[test]
fn every_reader_gets_each_character_once_and_others_in_their_place_whatever_happens_when() {
    for seed in 1..400_u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut world = World::new(seed % 2 == 0);
        let messages = [said("a"), said("b"), said("ü")];
        let mut spoken: HashMap<String, String> = HashMap::new();
        let mut readers = [Reader::default(), Reader::default(), Reader::default()];
        // Of each of the others: how much text came before it.
        let mut before: Vec<HashMap<String, usize>> = Vec::new();
        for _ in 0..200 {
            match dice.roll(10) {
                0..=3 => {
                    let said = &messages[dice.roll(3) as usize];
                    let text = ["x", "Hello ", "\u{1F600}ü\"", "."][dice.roll(4) as usize];
                    assert!(world.waiting.push_text(said, text, 0));
                    spoken.entry(said.frame.id().to_string()).or_default().push_str(text);
                    world.tell();
                }
                4 => {
                    let lengths = spoken.iter().map(|(id, text)| (id.clone(), text.len()));
                    before.push(lengths.collect());
                    world.waiting.push(other(before.len() - 1), false);
                    world.tell();
                }
                5 if world.unsettled.is_none() => world.write(),
                6 => world.settle(),
                7 => {
                    // A write that fails.
                    let taken = world.waiting.take(dice.roll(8), false);
                    world.waiting.give_back(taken);
                    world.tell();
                }
                _ => {
                    let reader = &mut readers[dice.roll(3) as usize];
                    let heard = reader.others.len();
                    reader.read(&world);
                    if let [n, ..] = reader.others[heard..] {
                        // No text overtook it, and none that was told before it is missing.
                        for (id, length) in &before[n as usize] {
                            assert!(reader.texts[id].len() >= *length);
                        }
                    }
                }
            }
            for reader in &readers {
                let next = before.get(reader.others.len());
                let Some(next) = next else { continue };
                for (id, text) in &reader.texts {
                    let limit = next.get(id).copied().unwrap_or(0);
                    assert!(text.len() <= limit, "text came before what was told before it");
                }
            }
        }
        world.settle();
        world.write();
        world.settle();
        for reader in &mut readers {
            for _ in 0..1000 {
                reader.read(&world);
            }
            assert_eq!(reader.texts, spoken, "seed {seed}");
            assert_eq!(reader.others, (0..before.len() as u64).collect::<Vec<_>>());
        }
        let mut stored: HashMap<String, String> = HashMap::new();
        for entry in &world.log {
            if let Heard::Text(id, at, text) = heard(entry) {
                let known = stored.entry(id).or_default();
                assert_eq!(known.chars().count() as u64, at);
                known.push_str(&text);
            }
        }
        assert_eq!(stored, spoken);
    }
}

#[test]
fn text_is_told_at_once_and_not_behind_something_that_is_not_stored() {
    let (mut world, a) = (World::new(true), said("a"));
    let mut reader = Reader::default();
    world.waiting.push_text(&a, "one ", 0);
    world.tell();
    reader.read(&world);
    assert_eq!(reader.texts["a"], "one ");
    world.waiting.push(other(0), false);
    world.waiting.push_text(&a, "two ", 0);
    world.tell();
    reader.read(&world);
    assert_eq!(reader.texts["a"], "one ");
    world.write();
    world.settle();
    world.waiting.push_text(&a, "three ", 0);
    world.tell();
    for _ in 0..4 {
        reader.read(&world);
    }
    assert_eq!((&*reader.texts["a"], &*reader.others), ("one two three ", &[0][..]));
}

#[test]
fn pieces_that_wait_together_become_one_entry_where_that_is_wanted() {
    for (merges, entries) in [(true, 2), (false, 4)] {
        let (mut world, a, b) = (World::new(merges), said("a"), said("b"));
        for said in [&a, &b, &a, &b] {
            world.waiting.push_text(said, "x", 0);
        }
        world.write();
        assert_eq!(world.log.len(), entries);
    }
}

#[test]
fn what_an_execution_told_and_did_not_store_is_forgotten_where_the_next_one_begins() {
    let (mut world, a) = (World::new(true), said("a"));
    let mut reader = Reader::default();
    world.waiting.push_text(&a, "lost", 0);
    world.tell();
    reader.read(&world);
    assert_eq!(reader.texts["a"], "lost");
    let begun = Entry::of_run(RUN, Kind::Begun, 0, &json!({}));
    assert_eq!(reader.told.take(begun.clone()), News::Entry(begun));
    let mut waiting = Waiting::new(true);
    waiting.push_text(&a, "new", 0);
    let entry = waiting.take_all().remove(0);
    assert_eq!(entry.text_at, Some(0));
    assert_eq!(reader.told.take(entry.clone()), News::Entry(entry));
}
