#![expect(clippy::float_cmp, reason = "equal bits on every machine are what is promised")]

use super::{
    bm25::Index,
    language::Language,
    logarithm::ln,
    markdown::{BlockKind, blocks},
    mmr,
    near_duplicate::{Fingerprint, groups},
    passage::{PASSAGE_WORDS_MAX, PASSAGE_WORDS_MIN, passages},
    rank::{keyphrases, sentence_ranks},
    sentence::{rendered, sentences},
    tfidf::Vector,
    words::{Vocabulary, count, is_stop_word, stem},
};

#[track_caller]
fn check_sentences(language: Language, text: &str, expected: &[&str]) {
    let found: Vec<String> = sentences(text, 0..text.len(), language)
        .into_iter()
        .map(|range| rendered(&text[range]))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn english_sentences_survive_abbreviations_initials_and_numbers() {
    check_sentences(
        Language::English,
        "Dr. J. Smith met Mrs. Jones at 5 p.m. on Monday. They used e.g. Version 3.5 of the tool. \
         It cost approx. 5 dollars, etc. The U.S. Navy paid. See no. 7 for more. He said no. Then he left.",
        &[
            "Dr. J. Smith met Mrs. Jones at 5 p.m. on Monday.",
            "They used e.g. Version 3.5 of the tool.",
            "It cost approx. 5 dollars, etc.",
            "The U.S. Navy paid.",
            "See no. 7 for more.",
            "He said no.",
            "Then he left.",
        ],
    );
}

#[test]
fn a_single_letter_ends_a_sentence_when_a_function_word_follows() {
    check_sentences(
        Language::English,
        "Call it from Python or C. When it returns, the lock is free.",
        &["Call it from Python or C.", "When it returns, the lock is free."],
    );
}

#[test]
fn german_sentences_survive_abbreviations_and_ordinals() {
    check_sentences(
        Language::German,
        "Am 3. Oktober kam z. B. Herr Dr. Maier mit ca. 20 Gästen usw. Danach gab es 3. Das war genug.",
        &[
            "Am 3. Oktober kam z. B. Herr Dr. Maier mit ca. 20 Gästen usw.",
            "Danach gab es 3.",
            "Das war genug.",
        ],
    );
}

#[test]
fn french_and_spanish_sentences_keep_their_titles_and_marks() {
    check_sentences(
        Language::French,
        "M. Dupont dit : « Il pleut. » Mme Roux part, cf. p. 12. Elle revient !",
        &["M. Dupont dit : « Il pleut. »", "Mme Roux part, cf. p. 12.", "Elle revient !"],
    );
    check_sentences(
        Language::Spanish,
        "El Sr. López vive aquí. ¿Lo conoce Ud. bien? La Dra. Gil vino a las 5 p.m. ayer.",
        &["El Sr. López vive aquí.", "¿Lo conoce Ud. bien?", "La Dra. Gil vino a las 5 p.m. ayer."],
    );
}

#[test]
fn hindi_sentences_end_with_a_danda() {
    check_sentences(
        Language::Hindi,
        "डॉ. शर्मा यहाँ रहते हैं। वे रोज़ समुद्र देखते हैं। कल वर्षा हुई।",
        &["डॉ. शर्मा यहाँ रहते हैं।", "वे रोज़ समुद्र देखते हैं।", "कल वर्षा हुई।"],
    );
}

#[test]
fn a_wrapped_line_is_a_space_and_a_citation_mark_belongs_to_no_sentence() {
    check_sentences(
        Language::English,
        "The sea rises\r\n  twice a day.[1][12] It falls\ntwice, too.[3] The rest is `a. B` code (so. It. Is) here.",
        &[
            "The sea rises twice a day.",
            "It falls twice, too.",
            "The rest is `a. B` code (so. It. Is) here.",
        ],
    );
}

#[test]
fn sentence_ranges_are_ordered_and_inside_the_block() {
    let text = "# A\n\nOne here. Two there.\n\nThree. Four!";
    let block = 5..text.len();
    let mut end = block.start;
    for range in sentences(text, block.clone(), Language::English) {
        assert!(range.start >= end && range.end <= block.end, "{range:?}");
        end = range.end;
    }
}

#[test]
fn markdown_blocks_have_kinds_and_ranges_without_markers() {
    let text = "---\ntitle: x\n---\n# One #\n\nText over\ntwo lines.\n\nTwo\n---\n\n- item\n  goes on\n- next\n\n\
                1) number\n\n> said\n> so\n\n```rust\n# no heading\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n    \
                indented()\n\n[x]: https://a.b\n\n<div>\nhtml\n</div>\n\n***\n\nIn the year\n1995. Still text.\n";
    let shown: Vec<(BlockKind, &str)> =
        blocks(text).into_iter().map(|block| (block.kind, &text[block.range])).collect();
    assert_eq!(
        shown,
        [
            (BlockKind::Other, "---\ntitle: x\n---"),
            (BlockKind::Heading(1), "One"),
            (BlockKind::Paragraph, "Text over\ntwo lines."),
            (BlockKind::Heading(2), "Two"),
            (BlockKind::ListItem, "item\n  goes on"),
            (BlockKind::ListItem, "next"),
            (BlockKind::ListItem, "number"),
            (BlockKind::Quote, "> said\n> so"),
            (BlockKind::Code, "```rust\n# no heading\n```"),
            (BlockKind::Table, "| a | b |\n|---|---|\n| 1 | 2 |"),
            (BlockKind::Code, "    indented()"),
            (BlockKind::Other, "[x]: https://a.b"),
            (BlockKind::Other, "<div>\nhtml\n</div>"),
            (BlockKind::Paragraph, "In the year\n1995. Still text."),
        ]
    );
}

#[test]
fn an_open_fence_runs_to_the_end() {
    let text = "Text.\n\n~~~\ncode\n# still code";
    let kinds: Vec<BlockKind> = blocks(text).iter().map(|block| block.kind).collect();
    assert_eq!(kinds, [BlockKind::Paragraph, BlockKind::Code]);
}

#[test]
fn languages_are_told_apart_and_short_text_falls_back_to_english() {
    let texts = [
        (
            Language::English,
            "The water rises and falls twice a day because the moon pulls at the sea.",
        ),
        (
            Language::German,
            "Das Wasser steigt und fällt zweimal am Tag, weil der Mond am Meer zieht.",
        ),
        (
            Language::French,
            "L'eau monte et descend deux fois par jour parce que la lune attire la mer.",
        ),
        (
            Language::Spanish,
            "El agua sube y baja dos veces al día porque la luna atrae el mar y la tierra.",
        ),
        (Language::Hindi, "पानी दिन में दो बार ऊपर उठता और गिरता है क्योंकि चंद्रमा समुद्र को खींचता है।"),
    ];
    for (language, text) in texts {
        assert_eq!(Language::detect(text), language, "{text}");
    }
    assert_eq!(Language::detect("ok"), Language::English);
    assert_eq!(Language::from_tag("de-AT"), Language::German);
    assert_eq!(Language::from_tag("nl"), Language::Other);
}

#[test]
fn words_of_one_family_meet_and_others_do_not() {
    let same = [
        ("recover", "recovery"),
        ("library", "libraries"),
        ("logging", "log"),
        ("rebased", "rebasing"),
        ("package", "packaging"),
        ("replicate", "replication"),
        ("crash", "crashes"),
    ];
    for (a, b) in same {
        assert_eq!(stem(a, Language::English), stem(b, Language::English), "{a} {b}");
    }
    for (a, b) in [("generator", "generate"), ("string", "stringent"), ("sea", "see")] {
        assert_ne!(stem(a, Language::English), stem(b, Language::English), "{a} {b}");
    }
    assert_eq!(stem("küsten", Language::German), stem("küste", Language::German));
    assert_eq!(stem("pg_wals", Language::English), "pg_wals");
}

#[test]
fn stop_word_lists_are_sorted_for_search() {
    for language in Language::ALL {
        let list = super::stop_words::of(language);
        assert!(list.windows(2).all(|pair| pair[0] < pair[1]), "{language:?}");
        assert!(list.iter().all(|word| is_stop_word(word, language)));
    }
    assert!(!is_stop_word("moon", Language::English));
}

#[test]
fn the_logarithm_agrees_with_the_platform_to_the_last_digits() {
    for value in [1e-300, 1e-9, 0.1, 0.5, 1.0, 1.5, 2.0, 2.7, 10.0, 12_345.678, 1e12, 1e300] {
        let difference = (ln(value) - value.ln()).abs();
        assert!(difference <= 1e-14 * value.ln().abs().max(1.0), "{value}: {difference}");
    }
    assert_eq!(ln(1.0), 0.0);
    assert_eq!(ln(0.0), 0.0);
    assert_eq!(ln(-1.0), 0.0);
    assert_eq!(ln(f64::NAN), 0.0);
}

fn terms(vocabulary: &mut Vocabulary, texts: &[&str]) -> Vec<Vec<u32>> {
    texts.iter().map(|text| vocabulary.terms(text, Language::English)).collect()
}

#[test]
fn bm25_prefers_rare_words_and_short_texts() {
    let mut vocabulary = Vocabulary::default();
    let texts = terms(
        &mut vocabulary,
        &[
            "sea moon sea",
            "sea wind coast harbour ship sailor storm beach moon",
            "sea wind coast",
            "sea ship",
        ],
    );
    let index = Index::new(texts.iter().map(Vec::as_slice), vocabulary.len());
    let query = |text: &str| -> Vec<(u32, f64)> {
        vocabulary.known_terms(text, Language::English).into_iter().map(|t| (t, 1.0)).collect()
    };
    let moon = index.scores(&query("moon"));
    assert!(moon[0] > moon[1] && moon[1] > 0.0 && moon[2] == 0.0);
    let sea = index.scores(&query("sea"));
    assert!(moon[0] > sea[0], "a rare word is worth more than one in every text");
    assert!(index.scores(&query("unknown")).iter().all(|score| *score == 0.0));
}

#[test]
fn bm25_gives_the_textbook_value() {
    // One text of two in which the word occurs once; both have the average length.
    let index = Index::new([[0_u32, 1].as_slice(), [1, 2].as_slice()], 3);
    let expected = (1.0_f64 + (2.0 - 1.0 + 0.5) / (1.0 + 0.5)).ln() * (1.0 * 2.2) / (1.0 + 1.2);
    assert!((index.scores(&[(0, 1.0)])[0] - expected).abs() < 1e-12);
}

#[test]
fn cosine_is_one_for_the_same_words_and_zero_for_none_in_common() {
    let flat = |_| 1.0;
    let a = Vector::new(&[1, 2, 2, 3], flat);
    assert!((a.cosine(&Vector::new(&[3, 2, 1, 2], flat)) - 1.0).abs() < 1e-12);
    assert_eq!(a.cosine(&Vector::new(&[7, 8], flat)), 0.0);
    assert_eq!(a.cosine(&Vector::default()), 0.0);
    let centre = Vector::centroid([&a, &Vector::new(&[7], flat)]);
    assert!(centre.cosine(&a) > 0.5 && centre.cosine(&a) < 1.0);
}

#[test]
fn the_sentence_that_others_lean_on_ranks_first() {
    let mut vocabulary = Vocabulary::default();
    let texts = terms(
        &mut vocabulary,
        &["moon pulls sea water", "moon pulls hard", "sea water rises", "bread needs flour"],
    );
    let vectors: Vec<Vector> = texts.iter().map(|t| Vector::new(t, |_| 1.0)).collect();
    let ranks = sentence_ranks(&vectors);
    assert_eq!(ranks[0], 1.0);
    assert!(ranks[3] < ranks[1] && ranks[3] < ranks[2]);
    assert!(sentence_ranks(&[]).is_empty());
}

#[test]
fn keyphrases_are_repeated_phrases_without_stop_words() {
    let texts = [
        "The spring tide follows the full moon.",
        "A spring tide has a large range.",
        "Sailors fear the spring tide and the wind.",
    ];
    let phrases = keyphrases(texts, Language::English, 3);
    assert_eq!(phrases[0].text, "spring tide");
    assert_eq!(phrases[0].count, 3);
    assert!(
        phrases.iter().skip(1).all(|phrase| phrase.text != "tide"),
        "covered by the better one"
    );
}

#[test]
fn mmr_takes_the_best_first_and_then_avoids_its_like() {
    let like = |a: usize, b: usize| if a.abs_diff(b) == 1 { 1.0 } else { 0.0 };
    assert_eq!(mmr::select(&[1.0, 0.9, 0.8], 2, like), [0, 2]);
    assert_eq!(mmr::select(&[0.5, 0.5], 5, |_, _| 0.0), [0, 1], "ties go to the smaller index");
    assert!(mmr::select(&[], 3, |_, _| 0.0).is_empty());
}

#[test]
fn near_duplicates_are_found_and_different_texts_are_not() {
    let page = (0..120)
        .map(|n| format!("word{n} follows word{} in line. ", n * 7 % 50))
        .collect::<Vec<_>>()
        .concat();
    let copy = page.replacen("word3 ", "WORD3, ", 1);
    let other = (0..120)
        .map(|n| format!("item{n} leads to item{}. ", n * 3 % 40))
        .collect::<Vec<_>>()
        .concat();
    let prints = [Fingerprint::new(&page), Fingerprint::new(&other), Fingerprint::new(&copy)];
    assert_eq!(groups(&prints), [0, 1, 0]);
    assert!(prints[0].jaccard(&prints[1]) < 0.1);
    assert!(Fingerprint::new("").is_near(&Fingerprint::new("")));
}

#[test]
fn passages_stay_under_their_heading_and_within_their_limits() {
    let long = (0..60)
        .map(|n| format!("Sentence number {n} has a few words in it. "))
        .collect::<Vec<_>>()
        .concat();
    let text = format!(
        "# A\n\n{long}\n\n## B\n\nShort one.\n\n## C\n\n{long}\n\n- item one is here\n\n```\ncode\n```\n"
    );
    let blocks = blocks(&text);
    let found = passages(&text, &blocks, Language::English);
    assert!(found.len() > 6);
    for passage in &found {
        let heading = passage.heading.map(|at| &text[blocks[at].range.clone()]);
        assert_eq!(passage.words, count(&text[passage.range.clone()]));
        if heading == Some("B") {
            assert_eq!(&text[passage.range.clone()], "Short one.");
        } else {
            assert!(
                (PASSAGE_WORDS_MIN..=PASSAGE_WORDS_MAX).contains(&passage.words),
                "{passage:?}"
            );
            let inside = &text[passage.range.clone()];
            assert!(
                inside.starts_with("Sentence")
                    && (inside.ends_with('.') || inside.ends_with("```"))
            );
        }
    }
    assert!(found.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
}
