use std::{collections::BTreeMap, sync::Arc};

use super::{
    Allocation, AppendixKind, Corpus, Error, Outline, PlannedSection, Post, Request, Section,
    SourceId, allocate, appendices, assemble,
    dependence::leans,
    estimated_tokens, heading, number_footnotes, outline,
    quality::{Unusable, judge},
    section, select_passages,
};
use crate::{
    source::{Document, FetchedBy},
    text::{language::Language, sentence::rendered},
};

const TIDES: &[(&str, &str, Option<&str>)] = &[
    ("Tides and how they work", include_str!("fixtures/tides-overview.md"), Some("2024-03-07")),
    ("Tidal power", include_str!("fixtures/tidal-power.md"), Some("2025-11-30")),
    ("Reading a tide table", include_str!("fixtures/tide-tables.md"), None),
];

const BANNER: &str = "> **Extracts.** No model wrote this.";

fn id(id: &str) -> SourceId {
    SourceId::new(id).unwrap()
}

fn document(location: &str, title: &str, text: &str, published: Option<&str>) -> Arc<Document> {
    Arc::new(Document {
        location: location.to_owned(),
        fetched_by: FetchedBy::Http,
        title: Some(title.to_owned()),
        author: None,
        published: published.map(|date| date.parse().unwrap()),
        media_type: "text/html".to_owned(),
        text: Arc::from(text),
        bytes_hash: crate::source::address_of(text),
    })
}

fn corpus(documents: &[(&str, &str, Option<&str>)]) -> Corpus {
    Corpus::new(
        documents
            .iter()
            .enumerate()
            .map(|(at, (title, text, published))| {
                let number = (at + 1).to_string();
                let location = format!("https://tides.example/{number}");
                (id(&number), document(&location, title, text, *published))
            })
            .collect(),
    )
}

fn about(topic: &str) -> Request {
    Request { topic: topic.to_owned(), words: 700, ..Request::default() }
}

struct Written {
    outline: Outline,
    allocation: Allocation,
    sections: Vec<Section>,
    post: Post,
}

fn write(corpus: &Corpus, request: &Request) -> Result<Written, Error> {
    let outline = outline(corpus, request)?;
    let allocation = allocate(corpus, &outline, request)?;
    let sections: Vec<Section> = outline
        .sections
        .iter()
        .filter_map(|planned| section(corpus, &allocation, &planned.id, outline.language))
        .collect();
    let appendices = appendices(corpus, &allocation, outline.language);
    let post = assemble(corpus, &outline, &sections, &appendices, BANNER);
    Ok(Written { outline, allocation, sections, post })
}

/// What extract mode promises about every post it writes.
#[track_caller]
fn check_promises(corpus: &Corpus, request: &Request, written: &Written) {
    let Written { outline, sections, post, .. } = written;
    let mut seen = Vec::new();
    let mut words_by_source: BTreeMap<&SourceId, usize> = BTreeMap::new();
    for proof in &post.evidence {
        let text = &corpus.document(&proof.source).unwrap().text;
        assert_eq!(rendered(&text[proof.start..proof.end]), proof.text, "range and text agree");
        assert!(rendered(text).contains(&proof.text), "verbatim: {}", proof.text);
        assert!(post.markdown.contains(&proof.text), "shown: {}", proof.text);
        assert!(!seen.contains(&&proof.text), "twice: {}", proof.text);
        seen.push(&proof.text);
        assert!(judge(&proof.text, outline.language).is_ok(), "not usable: {}", proof.text);
        *words_by_source.entry(&proof.source).or_default() +=
            crate::text::words::count(&proof.text);
    }
    for (source, words) in words_by_source {
        let all = crate::text::words::count(&corpus.document(source).unwrap().text);
        assert!(words <= (all * 15 / 100).max(300), "{words} words of source {source}");
    }
    let research = outline.sections.iter().filter(|planned| planned.research).count().max(1);
    for written in sections.iter().filter(|section| section.content.starts_with('>')) {
        let mut by_source: BTreeMap<&SourceId, usize> = BTreeMap::new();
        for proof in &written.evidence {
            *by_source.entry(&proof.source).or_default() += crate::text::words::count(&proof.text);
        }
        let planned = request.words.div_ceil(research).max(60);
        if by_source.len() > 1 {
            for (source, words) in by_source {
                assert!(words * 100 <= planned * 40, "{words} of {planned} words from {source}");
            }
        }
    }
    // Take away what is quoted: what is left is headings, marks and the fixed words.
    let mut rest = post.markdown.clone();
    for proof in &post.evidence {
        rest = rest.replacen(&proof.text, "", 1);
    }
    for line in rest.lines().filter(|line| !line.is_empty()) {
        let known = [
            "#",
            ">",
            "- **",
            "| ",
            "[^",
            "Extracts on ",
            "Auszüge zu ",
            "The sources hold",
            "- [",
            "Extraits sur ",
            "Extractos sobre ",
            "“",
        ];
        let hindi = line.contains("से उद्धरण");
        assert!(hindi || known.iter().any(|start| line.starts_with(start)), "own words: {line}");
        if line.starts_with('>') && line != BANNER {
            assert!(line.chars().all(|c| c.is_ascii_digit() || "> []^".contains(c)), "{line}");
        }
    }
}

#[test]
fn a_post_of_extracts_reads_as_planned() {
    let corpus = corpus(TIDES);
    let request = about("How do tides work?");
    let written = write(&corpus, &request).unwrap();
    check_promises(&corpus, &request, &written);
    expect_test::expect_file!["fixtures/tides.extracts.md"].assert_eq(&written.post.markdown);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let request = about("How do tides work?");
    let first = write(&corpus(TIDES), &request).unwrap();
    let second = write(&corpus(TIDES), &request).unwrap();
    assert_eq!(first.post, second.post);
    assert_eq!(first.allocation, second.allocation);
    // A caller that keeps plan and allocation as JSON between steps loses nothing.
    let kept: Allocation =
        serde_json::from_str(&serde_json::to_string(&first.allocation).unwrap()).unwrap();
    assert_eq!(kept, first.allocation);
}

#[test]
fn five_languages_write_posts_of_their_own() {
    let documents = [
        (
            "Gezeiten",
            include_str!("fixtures/gezeiten.md"),
            "Wie entstehen die Gezeiten am Meer?",
            Language::German,
        ),
        ("Marées", include_str!("fixtures/marees.md"), "La marée et la lune", Language::French),
        ("Mareas", include_str!("fixtures/mareas.md"), "La marea y la luna", Language::Spanish),
        ("ज्वार", include_str!("fixtures/jwar-bhata.md"), "ज्वार और चंद्रमा", Language::Hindi),
    ];
    let all: Vec<(&str, &str, Option<&str>)> = TIDES
        .iter()
        .copied()
        .chain(documents.iter().map(|(title, text, _, _)| (*title, *text, None)))
        .collect();
    let corpus = corpus(&all);
    for (at, (_, _, topic, language)) in documents.iter().enumerate() {
        let request = Request { language: Some(*language), ..about(topic) };
        let written = write(&corpus, &request).unwrap();
        check_promises(&corpus, &request, &written);
        assert_eq!(written.outline.language, *language);
        assert!(written.post.evidence.len() >= 3, "{}", written.post.markdown);
        assert_eq!(written.post.cited, [id(&(at + 4).to_string())], "only its own language");
    }
}

#[test]
fn menus_cookies_questions_links_and_pointers_are_not_quoted() {
    let reason = |text: &str| judge(text, Language::English).err();
    let dropped = [
        ("Next page here.", Unusable::Short),
        ("see the moon rise over the sea today.", Unusable::Beginning),
        ("Note: the moon pulls at the sea.", Unusable::Beginning),
        ("12 If the sea rises, the gates close.", Unusable::Beginning),
        ("1. Open the gate of the dam.", Unusable::Beginning),
        ("Home About Products Contact Imprint Search", Unusable::Ending),
        ("The moon pulls at the sea in two ways:", Unusable::Ending),
        ("Do you want to know more about tides?", Unusable::Ending),
        ("Read the [whole story](https://a.b) of the tides.", Unusable::Link),
        ("Look at ![the sea](sea.png) in the morning light.", Unusable::Link),
        ("The moon (and the sun pulls at the sea.", Unusable::Unbalanced),
        ("He said “the sea is rising and left.", Unusable::Unbalanced),
        ("Use the `tide command to show the table.", Unusable::Unbalanced),
        ("The sea <b>rises</b> twice a day here.", Unusable::Markup),
        ("The sea&nbsp;rises twice a day at the coast.", Unusable::Markup),
        ("Tides were known to the old Greeks [12].", Unusable::Markup),
        ("$ tide --port Hamburg prints the table of today.", Unusable::Beginning),
        ("The call f(x, y) = g(z) + h(w) * 2 / (a - b) [c].", Unusable::Code),
        ("The height is shown in Figure 3 of the book.", Unusable::Reference),
        ("As described in section 4.2, the tide rises.", Unusable::Reference),
        ("The following table lists all the tides here.", Unusable::Reference),
        ("The drawing above shows how the moon pulls.", Unusable::Reference),
        ("This chapter explains how the tides of the sea work.", Unusable::Reference),
        ("See the manual for the names of all the ports.", Unusable::Reference),
        ("We use cookies to make this site better.", Unusable::Housekeeping),
        ("Click here to read the story of the tides.", Unusable::Housekeeping),
        ("Copyright by the tide club of the northern coast.", Unusable::Housekeeping),
        ("Fixed a crash in the tide table of last year.", Unusable::Changelog),
        ("Changed in version 3.8 to read the heights too.", Unusable::Changelog),
        ("Last summer I measured the tide in our harbour.", Unusable::FirstPerson),
        ("It writes a new pack. git-pack then reads it.", Unusable::Ending),
    ];
    for (text, expected) in dropped {
        assert_eq!(reason(text), Some(expected), "{text}");
    }
    let long = format!("The sea {}rises.", "and the sea ".repeat(30));
    assert_eq!(reason(&long), Some(Unusable::Long));
    let kept = [
        "The moon pulls at the sea, e.g. in the harbour.",
        "Temperatures above 30 degrees are rare at this coast.",
        "`tide` prints the *height* of the water (in metres).",
        "pg_tide is a small tool for harbour masters.",
    ];
    for text in kept {
        assert_eq!(reason(text), None, "{text}");
    }
    assert_eq!(
        judge("Die Tabelle unten zeigt alle Höhen.", Language::German),
        Err(Unusable::Reference)
    );
    assert_eq!(
        judge("Die Zeiten sind ci-dessous pour tous.", Language::French),
        Err(Unusable::Reference)
    );
}

#[test]
fn pronouns_and_connectives_lean_on_the_sentence_before() {
    for text in [
        "This happens twice a day.",
        "However, the sun is far away.",
        "For example, the Baltic has none.",
        "In this case the rule fails.",
        "If it rises, the gates open.",
        "That’s why the table helps.",
    ] {
        assert!(leans(text, Language::English), "{text}");
    }
    for text in [
        "The moon pulls at the sea.",
        "If the sea rises, it covers the sand.",
        "Because the moon is near, the sea rises.",
    ] {
        assert!(!leans(text, Language::English), "{text}");
    }
    assert!(leans("Jedoch rechnet die Tafel nur mit dem Mond.", Language::German));
    assert!(leans("Cependant, le vent souffle fort.", Language::French));
    assert!(leans("Sin embargo, el viento sopla.", Language::Spanish));
    assert!(leans("इसलिए मछुआरे पंचांग पढ़ते हैं।", Language::Hindi));
}

#[test]
fn a_leaning_sentence_never_opens_a_quotation() {
    let corpus = corpus(TIDES);
    let written = write(&corpus, &about("How do tides work?")).unwrap();
    for run in written.allocation.sections.iter().flat_map(|extracts| &extracts.runs) {
        let first = section::evidence(&corpus, &run.source, run.sentences[0]).unwrap();
        assert!(!leans(&first.text, Language::English), "{}", first.text);
    }
}

#[test]
fn sections_fit_the_topic_and_have_real_headings() {
    let corpus = corpus(TIDES);
    let outline = outline(&corpus, &about("Generating electricity with tidal power")).unwrap();
    let headings: Vec<String> = TIDES
        .iter()
        .flat_map(|(_, text, _)| text.lines())
        .filter_map(|line| line.strip_prefix('#'))
        .map(|line| heading::clean(line.trim_start_matches('#')))
        .collect();
    let research: Vec<_> = outline.sections.iter().filter(|planned| planned.research).collect();
    assert!(research.iter().all(|planned| headings.contains(&planned.name)), "{research:?}");
    assert!(research.iter().any(|planned| planned.name == "Barrages"), "{research:?}");
    assert!(research.iter().all(|planned| planned.name != "The rule of twelfths"), "{research:?}");
    assert!(
        research.iter().all(|planned| planned.name != "Changelog" && planned.name != "Overview")
    );
}

#[test]
fn a_given_outline_is_kept_and_its_empty_section_says_so() {
    let corpus = corpus(TIDES);
    let planned = |name: &str, research| PlannedSection {
        name: name.to_owned(),
        description: String::new(),
        research,
    };
    let request = Request {
        sections: vec![
            planned("Spring tides and neap tides", true),
            planned("Submarine volcanoes of Iceland", true),
            planned("Tide tables", true),
            planned("The end", false),
        ],
        ..about("tides")
    };
    let written = write(&corpus, &request).unwrap();
    check_promises(&corpus, &request, &written);
    let names: Vec<(&str, &str)> =
        written.outline.sections.iter().map(|s| (s.id.as_str(), s.name.as_str())).collect();
    assert_eq!(
        names,
        [
            ("s1", "Spring tides and neap tides"),
            ("s2", "Submarine volcanoes of Iceland"),
            ("s3", "Tide tables"),
            ("s4", "The end"),
        ]
    );
    assert!(
        written.sections[0].evidence.iter().any(|proof| proof.text.starts_with("A spring tide is"))
    );
    let volcanoes = &written.sections[1];
    assert!(volcanoes.content.starts_with("The sources hold too little"), "{}", volcanoes.content);
    assert!(volcanoes.content.contains("(<https://tides.example/"), "{}", volcanoes.content);
    assert!(written.post.evidence.iter().any(|proof| proof.text.starts_with("A tide table is")));
}

#[test]
fn a_section_without_material_lists_the_sources() {
    let thin = [(
        "Tides",
        "# Tides\n\nThe tide is the rise and fall of the sea that the moon causes. The tide comes twice a day at most coasts of the world.\n\n# Ports\n\nPorts use the tide to let the largest ships in and out of the harbour.\n",
        None,
    )];
    let corpus = corpus(&thin);
    let request = Request {
        sections: vec![
            PlannedSection { name: "Ports".to_owned(), description: String::new(), research: true },
            PlannedSection { name: "Tide".to_owned(), description: String::new(), research: true },
        ],
        ..about("tide")
    };
    let outline = outline(&corpus, &request).unwrap();
    let allocation = match allocate(&corpus, &outline, &request) {
        Ok(allocation) => allocation,
        Err(error) => {
            assert_eq!(error.code(), "too_little_material");
            return;
        }
    };
    let ports = section(&corpus, &allocation, "s1", Language::English).unwrap();
    assert!(ports.evidence.is_empty());
    assert!(ports.content.starts_with("The sources hold too little"), "{}", ports.content);
    assert!(ports.content.contains("[Tides](<https://tides.example/1>)"), "{}", ports.content);
}

#[test]
fn too_little_material_is_an_error_and_never_a_thin_post() {
    let empty = Corpus::new(Vec::new());
    let error = outline(&empty, &about("tides")).unwrap_err();
    assert_eq!(error, Error::TooLittleMaterial { usable: 0, sources: 0 });
    assert_eq!(error.code(), "too_little_material");
    let beside = outline(&corpus(TIDES), &about("Baking rye bread with yeast"));
    assert!(matches!(beside, Err(Error::TooLittleMaterial { usable: 0, sources: 3 })));
}

#[test]
fn near_duplicate_sources_are_quoted_once() {
    let copy = include_str!("fixtures/tide-tables.md");
    let documents = [TIDES[0], TIDES[2], ("Copied table", copy, Some("2020-01-01"))];
    let corpus = corpus(&documents);
    let pairs: Vec<(&str, &str)> =
        corpus.near_duplicates().map(|(copy, speaks)| (copy.as_str(), speaks.as_str())).collect();
    assert_eq!(pairs, [("2", "3")], "the dated one speaks for both");
    let request = about("tide table");
    let written = write(&corpus, &request).unwrap();
    check_promises(&corpus, &request, &written);
    assert!(written.post.evidence.iter().all(|proof| proof.source != id("2")));
}

#[test]
fn terms_and_figures_come_from_sentences_that_hold_them() {
    let ferry = "# The ferry\n\nA ferry is a ship that carries people and cars over short stretches of \
        water.\n\nThe ferry of the island takes 45 minutes for the crossing in calm weather.\n\nThe ferry \
        carries cars of up to 3.5 tons on the lower deck only.\n\nThe old ferry burned about 900 kg of oil \
        on each trip to the town.\n\nThe ferry needs a depth of 4 m in the harbour at low water.\n\n\
        ## The harbour\n\nA harbour is a sheltered place where a ferry can land in every weather.\n\n\
        The harbour keeps the ferry safe in storms. The ferry lies there at night.\n\n\
        The harbour master opens the gate for the ferry and counts the cars of the day. Each ferry has a \
        fixed place in the harbour, marked with its name. The crew of the ferry sleeps on board.\n\n\
        The ferry leaves the harbour with a delay of 10 minutes at spring tide.\n";
    let more = ferry.replace("ferry", "boat").replace("Ferry", "Boat");
    let corpus = corpus(&[("The ferry", ferry, None), ("The boat", &more, None)]);
    let request = Request { words: 120, ..about("the ferry and the harbour") };
    let written = write(&corpus, &request).unwrap();
    check_promises(&corpus, &Request { words: 200, ..request }, &written);
    let parts = appendices(&corpus, &written.allocation, Language::English);
    let kinds: Vec<AppendixKind> = parts.iter().map(|part| part.kind).collect();
    assert_eq!(kinds, [AppendixKind::Terms, AppendixKind::Figures], "{}", written.post.markdown);
    for part in &parts {
        assert!(part.evidence.len() >= 2);
        for proof in &part.evidence {
            assert!(part.content.contains(&proof.text));
        }
    }
    let values: Vec<&str> = written.allocation.figures.iter().map(|f| f.value.as_str()).collect();
    assert!(values.contains(&"900 kg") || values.contains(&"4 m"), "{values:?}");
    for figure in &written.allocation.figures {
        let proof = section::evidence(&corpus, &figure.source, figure.sentence).unwrap();
        assert!(proof.text.contains(&figure.value), "{figure:?}");
    }
}

#[test]
fn footnotes_are_numbered_in_order_of_first_use() {
    let known = [id("a"), id("b"), id("7")];
    let numbered = number_footnotes("One.[^7] Two.[^a] Three.[^7] Not[^x] ours [^", &known);
    assert_eq!(numbered.markdown, "One.[^1] Two.[^2] Three.[^1] Not[^x] ours [^");
    assert_eq!(numbered.cited, [id("7"), id("a")]);
}

#[test]
fn titles_of_strangers_cannot_break_a_footnote() {
    let text = include_str!("fixtures/tide-tables.md");
    let hostile =
        document("https://a.example/x y>", "A [link](x) *and*\n\n# more | <b>", text, None);
    let corpus = Corpus::new(vec![(id("1"), hostile)]);
    let written = write(&corpus, &about("tide table")).unwrap();
    let footnote = written.post.markdown.lines().last().unwrap();
    assert_eq!(footnote, r"[^1]: A \[link\](x) \*and\* # more \| \<b\> — https://a.example/x y\>");
}

#[test]
fn source_ids_are_footnote_labels() {
    for good in ["1", "a-b_C9"] {
        assert_eq!(SourceId::new(good).unwrap().as_str(), good);
    }
    for bad in ["", "a b", "é", "x]", &"a".repeat(65)] {
        assert_eq!(SourceId::new(bad).unwrap_err().found, bad);
    }
    assert!(serde_json::from_str::<SourceId>("\"a b\"").is_err());
}

#[test]
fn headings_lose_numbers_links_and_marks() {
    let cleaned = [
        ("28.4. Asynchronous Commit¶", "Asynchronous Commit"),
        ("Chapter 5: *The* `tide`", "The tide"),
        ("A Tour of Tides", "A Tour of Tides"),
        ("A.1 Tour", "Tour"),
        ("[Tides](x.html) and ![pic](y.png) waves", "Tides and waves"),
        ("git-rebase(1) Manual Page", "git-rebase"),
        ("spring tides", "Spring tides"),
        ("3D printing", "3D printing"),
    ];
    for (raw, expected) in cleaned {
        assert_eq!(heading::clean(raw), expected, "{raw}");
    }
    for name in ["Spring tides", "Write-Ahead Logging (WAL)", "How tides are predicted"] {
        assert!(heading::is_name(name, Language::English), "{name}");
    }
    for no_name in
        ["Overview", "See also", "--force", "f(x)", "What's new in 3.2", "Zusammenfassung", ""]
    {
        assert!(!heading::is_name(no_name, Language::English), "{no_name}");
    }
}

#[test]
fn passages_for_a_reader_keep_the_budget_and_the_share() {
    let corpus = corpus(TIDES);
    let budget = 700;
    let chosen = select_passages(&corpus, "How high is the tide?", budget, 0.4);
    assert!(chosen.len() >= 3, "{chosen:?}");
    let mut by_source: BTreeMap<&SourceId, usize> = BTreeMap::new();
    for &passage in &chosen {
        let view = corpus.passage(passage).unwrap();
        assert_eq!(&view.document.text[view.range.clone()], view.text);
        assert!(!view.heading_path.is_empty());
        *by_source.entry(view.source).or_default() += estimated_tokens(view.text);
    }
    assert!(by_source.values().sum::<usize>() <= budget);
    assert!(by_source.values().all(|tokens| *tokens <= budget * 4 / 10), "{by_source:?}");
    assert!(select_passages(&corpus, "rye bread", budget, 0.4).is_empty());
    assert!(select_passages(&corpus, "tide", 0, 0.4).is_empty());
    let one = Corpus::new(vec![(id("1"), document("a.md", "Tides", TIDES[0].1, None))]);
    assert!(!select_passages(&one, "tide", 300, 0.4).is_empty(), "a single source may fill it");
}

/// Markdown of awkward pieces, many of which must never be quoted.
fn any_markdown() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let piece = prop_oneof![
        Just("# The tide of the sea\n\n".to_owned()),
        Just("## Moon and sun\n\n".to_owned()),
        Just("- item about the tide\n  that goes on here in the list.\n".to_owned()),
        Just("```\nlet tide = moon();\n".to_owned()),
        Just("> The tide is what other people quote about it.\n\n".to_owned()),
        Just("| tide | 3 m |\n| --- | --- |\n".to_owned()),
        Just("See [the tide](https://a.b) for all of the details.\n\n".to_owned()),
        "[A-Z][a-z]{2,8}( [a-z]{2,9}){3,12} tide( |\n|\r\n|\u{a0}|  )(rises|falls)( [a-zé–]{2,9}){0,8}[.!?:]( |\n|\n\n)",
        "(This|However,|It)( [a-z]{2,9}){3,9} tide\\. ",
        "[A-Z][a-z]{2,6} tide [(\\[\"“`*_<&|]{0,2}[a-z]{2,8}[)\\]\"”`*_>;|]{0,2}( [a-z]{3,8}){4,8}\\. ",
        "\\PC{0,40}\n",
    ];
    proptest::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, failure_persistence: None, ..proptest::prelude::ProptestConfig::default() })]

    #[test]
    fn whatever_the_sources_hold_the_promises_are_kept(texts in proptest::collection::vec(any_markdown(), 1..5), words in 0_usize..1_500) {
        let documents: Vec<(&str, &str, Option<&str>)> =
            texts.iter().map(|text| ("Tides", text.as_str(), None)).collect();
        let corpus = corpus(&documents);
        let request = Request { words, language: Some(Language::English), ..about("the tide") };
        match write(&corpus, &request) {
            Ok(written) => check_promises(&corpus, &Request { words: words.max(60), ..request }, &written),
            Err(error) => assert_eq!(error.code(), "too_little_material"),
        }
        let budget = words;
        let tokens: usize = select_passages(&corpus, "tide", budget, 0.4)
            .into_iter()
            .map(|passage| estimated_tokens(corpus.passage(passage).unwrap().text))
            .sum();
        proptest::prop_assert!(tokens <= budget);
    }
}
