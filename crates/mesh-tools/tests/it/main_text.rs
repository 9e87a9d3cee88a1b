use std::time::{Duration, Instant};

use expect_test::{Expect, expect};
use jiff::civil::date;
use mesh_agents::source::SourceError;
use mesh_tools::main_text::{HTML_BYTES_MAX, MainText, Markup, NoText, extract, extract_now};
use url::Url;

fn check(markup: Markup, text: &str, expected: Expect) {
    let main = extract_now(markup, text, None).unwrap();
    expected.assert_eq(&main.markdown);
}

fn check_html(html: &str, expected: Expect) {
    check(Markup::Html, &format!("<main>{html}</main>"), expected);
}

fn html(html: &str) -> MainText {
    extract_now(Markup::Html, html, None).unwrap()
}

#[test]
fn headings_lists_quotes_and_code_are_kept_and_links_lose_their_targets() {
    check_html(
        "<h1>Title <a href='#title'>¶</a></h1>
         <p>Some <b>bold</b> words with a <a href='https://x.example/'>link</a>,\n an image
         <img src=x alt=no> and <code>let  x</code>.<br>New line.</p>
         <ul><li>One</li><li>Two<ol start=3><li>Three</li><li><p>Four</p><p>more</p></li></ol></li></ul>
         <blockquote><p>Quoted</p><p>twice</p></blockquote>
         <div class='highlight-python3'><pre><span>def</span> f():\n    return <b>1</b>\n</pre></div>
         <pre><code class='language-c++'>a ``` b</code></pre>
         <dl><dt>term</dt><dd>meaning</dd><dt>other</dt><dd><ul><li>a</li></ul></dd></dl>
         <hr><p>2<sup>10</sup> is 1024<sup><a href='#fn'>1</a></sup>, the 1<sup>st</sup>.</p>",
        expect![[r"
            # Title

            Some bold words with a link, an image and `let x`.
            New line.

            - One
            - Two
              3. Three
              4. Four

                 more

            > Quoted
            >
            > twice

            ```python
            def f():
                return 1
            ```

            ````c++
            a ``` b
            ````

            - term

              meaning

            - other
              - a

            2^10 is 1024, the 1st.
        "]],
    );
}

#[test]
fn tables_of_data_are_tables_and_tables_for_layout_are_text() {
    check_html(
        "<table><caption>Sizes</caption>
           <thead><tr><th>Name</th><th>Size | kB</th></tr></thead>
           <tbody><tr><td>a</td><td><code>1|2</code></td></tr>
           <tr><td colspan=2>both</td></tr><tr><td></td></tr></tbody></table>
         <table><tr><td>x</td><td>1</td></tr><tr><td>y</td><td>2</td></tr></table>
         <table><tr><td>Note</td><td><p>Only one row.</p></td></tr></table>
         <table><tr><td><h2>Part</h2></td><td>text</td></tr><tr><td>a</td><td>b</td></tr></table>",
        expect![[r"
            Sizes

            | Name | Size \| kB |
            | --- | --- |
            | a | `1\|2` |
            | both |  |

            |  |  |
            | --- | --- |
            | x | 1 |
            | y | 2 |

            Note

            Only one row.

            ## Part

            text

            a

            b
        "]],
    );
}

#[test]
fn text_that_looks_like_markup_stays_text() {
    check_html(
        "<p>&lt;script&gt;alert(1)&lt;/script&gt; &amp;lt; a &lt; b, x_y_z, _under_, 2 * 3, *star*</p>
         <p># no heading</p><p>1. no item</p><p>- no item</p><p>+ no item</p><p>&gt; no quote</p>
         <p>[x](javascript:alert(1)) ![y](z) [^1] `tick` \\* back ~~~</p><p>---</p><p>===</p>
         <p>Soft\u{ad}hyphen and\u{a0}hard space, zero\u{200b}width.</p>",
        expect![[r"
            \<script>alert(1)\</script> \&lt; a < b, x_y_z, \_under\_, 2 * 3, \*star\*

            \# no heading

            1\. no item

            \- no item

            \+ no item

            \> no quote

            [x]\(javascript:alert(1)) !\[y]\(z) \[^1] \`tick\` \\\* back \~\~\~

            \---

            \===

            Softhyphen and hard space, zerowidth.
        "]],
    );
}

#[test]
fn navigation_scripts_and_hidden_parts_are_left_out() {
    let page = html(
        "<html><head><title>T</title><style>p{}</style></head><body>
         <nav>Menu</nav><div class='sidebar-visible'><main>
         <div role=navigation>Pages</div><p hidden>no</p><p aria-hidden=true>no</p>
         <p style='display: none'>no</p><script>no()</script><div class='toc'><a>Part</a></div>
         <button>Copy</button><h2>Part</h2><p>The text that is read.</p>
         <form>Subscribe</form><div class=newsletter>Mail!</div></main></div>
         <footer>Imprint</footer></body></html>",
    );
    assert_eq!(page.markdown, "## Part\n\nThe text that is read.\n");
}

#[test]
fn a_page_that_is_only_contents_is_its_contents() {
    let page = html(
        "<body><h1>Book</h1><div class=toc><ul><li><a>One</a></li><li><a>Two</a></li></ul></div>",
    );
    assert_eq!(page.markdown, "# Book\n\n- One\n- Two\n");
}

/// An article in a page without any declared region, among menus and teasers.
fn article(paragraphs: usize) -> String {
    use std::fmt::Write as _;

    let mut text = String::new();
    for number in 0..paragraphs {
        write!(
            text,
            "<p>Paragraph {number} explains, in a few plain sentences, why the planner chose this \
             index, what the statistics said about it, and how the cost was counted.</p>"
        )
        .unwrap();
        if number == 1 {
            text.push_str("<h2>An example</h2><pre>SELECT 1\n  FROM t;</pre>");
        }
    }
    format!(
        "<html><head><title>Planner - Site</title></head><body><div class='topbar'><ul>
         <li><a href=/a>Products</a></li><li><a href=/b>Prices</a></li></ul></div>
         <div class='post-content'><h1>Planner</h1>{text}</div>
         <div class='also'><ul><li><a href=/c>Ten things you never knew about indexes</a></li>
         <li><a href=/d>Our offer for new customers this week</a></li></ul></div>
         <div class='bottom'>Copyright, all rights reserved</div></body></html>"
    )
}

#[test]
fn without_a_declared_region_the_article_is_found_with_its_headings_and_code() {
    let page = html(&article(6));
    assert!(page.markdown.starts_with("# Planner\n\nParagraph 0"), "{}", page.markdown);
    assert!(page.markdown.contains("## An example\n\n```\nSELECT 1\n  FROM t;\n```\n"));
    assert!(page.markdown.contains("Paragraph 5"));
    for boilerplate in ["Products", "Prices", "Ten things", "Our offer", "all rights reserved"] {
        assert!(!page.markdown.contains(boilerplate), "{boilerplate}: {}", page.markdown);
    }
    assert_eq!(page.title.as_deref(), Some("Planner"));
}

#[test]
fn every_word_of_the_text_is_on_the_page_in_the_same_order() {
    let words = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    };
    let source = article(9);
    let visible = words_of_page(&source);
    let mut rest = visible.as_slice();
    for word in words(&html(&source).markdown) {
        let position = rest.iter().position(|other| *other == word);
        rest = &rest[position.unwrap_or_else(|| panic!("{word} is out of order")) + 1..];
    }
}

/// Words of a page without its tags.
fn words_of_page(page: &str) -> Vec<String> {
    let mut text = String::new();
    let mut in_tag = false;
    for character in page.chars() {
        match character {
            '<' => in_tag = true,
            '>' => {
                in_tag = false;
                text.push(' ');
            }
            other if !in_tag => text.push(other),
            _ => {}
        }
    }
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn pages_of_documentation_generators_are_taken_whole() {
    let sphinx = html(
        "<html><head><title>Tasks — Python</title></head><body>
         <div class='related'><a>index</a></div><div class='body' role='main'>
         <section><h1>Tasks<a class='headerlink' href='#t'>¶</a></h1>
         <dl class='py function'><dt class='sig'><code>run</code>(<em>coro</em>)
         <a class='headerlink'>¶</a></dt><dd><p>Runs it.</p></dd></dl>
         <div class='admonition note'><p>Note</p><p>Once only.</p></div></section></div>
         <div class='sphinxsidebar'>Search</div></body></html>",
    );
    assert_eq!(sphinx.markdown, "# Tasks\n\n- `run`(coro)\n\n  Runs it.\n\nNote\n\nOnce only.\n");
    let docbook = html(
        "<html><head><title>11.2. Index Types</title>
         <meta name='generator' content='DocBook XSL Stylesheets'></head><body>
         <div class='navheader'><table><tr><td>Prev</td></tr></table></div><div class='sect1'>
         <div class='titlepage'><h2 class='title'>11.2. Index Types</h2></div>
         <div class='toc'><dl><dt>11.2.1</dt></dl></div><p>Short.</p>
         <pre class='programlisting'>\nCREATE INDEX <em>name</em> ON <em>table</em>;\n</pre></div>
         <div class='navfooter'>Next</div></body></html>",
    );
    assert_eq!(
        docbook.markdown,
        "## 11.2. Index Types\n\nShort.\n\n```\nCREATE INDEX name ON table;\n```\n"
    );
    let rustdoc = html(
        "<html><head><meta name='generator' content='rustdoc'><title>Vec in std</title></head>
         <body><main><h1>Struct Vec <a class='src'>source</a></h1><div class='rust'><pre
         class='rust'>pub struct Vec;</pre></div><h4 class='code-header'>pub fn <a>new</a>() -> Self
         </h4><div><a class='test-arrow'>Run</a></div><p>Empty.</p></main></body></html>",
    );
    assert_eq!(
        rustdoc.markdown,
        "# Struct Vec\n\n```rust\npub struct Vec;\n```\n\n#### `pub fn new() -> Self`\n\nEmpty.\n"
    );
    let javadoc = html(
        "<html><head><meta name='generator' content='javadoc/ClassWriterImpl'>
         <title>ArrayList</title></head><body><main><h1>Class ArrayList</h1>
         <ul class='details-list'><li><section><h2>Method</h2>
         <div class='member-signature'>public&nbsp;void&nbsp;<b>add</b>()</div>
         <p>Adds.</p></section></li></ul></main></body></html>",
    );
    assert_eq!(
        javadoc.markdown,
        "# Class ArrayList\n\n## Method\n\n```\npublic void add()\n```\n\nAdds.\n"
    );
}

#[test]
fn titles_authors_and_dates_are_what_the_page_declares() {
    let page = |head: &str, body: &str| html(&format!("<head>{head}</head><main>{body}</main>"));
    let text = "<p>Written text, 1999-01-01.</p>";
    let structured = page(
        r#"<title>Post | Blog</title><meta name=author content="Ada Lovelace">
           <script type="application/ld+json">{"@graph": [{"@type": "BlogPosting",
           "datePublished": "2024-05-31T10:00:00Z"}]}</script>"#,
        &format!("<h1>Post</h1>{text}"),
    );
    assert_eq!(structured.title.as_deref(), Some("Post"));
    assert_eq!(structured.author.as_deref(), Some("Ada Lovelace"));
    let several = page(
        r#"<script type="application/ld+json">[{"author": [{"name": "Ada"}, "Bob", 3]}]</script>"#,
        text,
    );
    assert_eq!(several.author.as_deref(), Some("Ada, Bob"));
    let profile = page("<meta property=article:author content=https://x.example/ada>", text);
    assert_eq!(profile.author, None);
    assert_eq!(structured.published, Some(date(2024, 5, 31)));
    let dated = |head: &str| page(head, text).published;
    assert_eq!(dated(""), None);
    assert_eq!(
        dated("<meta property='Article:Published_Time' content='2023-02-01'>"),
        Some(date(2023, 2, 1))
    );
    assert_eq!(dated("<meta name=pubdate content=20230201>"), Some(date(2023, 2, 1)));
    assert_eq!(
        dated("<meta name=date content='Wed, 01 Feb 2023 10:00:00 GMT'>"),
        Some(date(2023, 2, 1))
    );
    for broken in ["2023-13-01", "1812-01-01", "soon", "", "99999999", "2023"] {
        assert_eq!(dated(&format!("<meta name=date content='{broken}'>")), None, "{broken}");
    }
    let marked =
        page("", &format!("<time itemprop=datePublished datetime=2022-03-04>x</time>{text}"));
    assert_eq!(marked.published, Some(date(2022, 3, 4)));
    assert_eq!(page("<title> A \n title </title>", text).title.as_deref(), Some("A title"));
    assert_eq!(page("", text).title, None);
    for (path, expected) in [
        ("https://x.example/2024/5/31/post", Some(date(2024, 5, 31))),
        ("https://x.example/blog/2024-05-31-post", Some(date(2024, 5, 31))),
        ("https://x.example/2024/99/31/post", None),
        ("https://x.example/v/1.2.3", None),
    ] {
        let url = Url::parse(path).unwrap();
        let main = extract_now(Markup::Html, text, Some(&url)).unwrap();
        assert_eq!(main.published, expected, "{path}");
    }
}

#[test]
fn markdown_loses_front_matter_and_comments_and_nothing_else() {
    let text = "\u{feff}---\r\ntitle: \"A: title\"\r\nauthors:\r\n  - Ada\r\n  - Bob\r\ndate: 2024-05-31 10:00\r\n\
                tags:\r\n  title: no\r\n---\r\n\r\nText <!-- gone\r\ngone --> stays.\r\n\r\n```html\r\n<!-- code -->\r\n```\r\n";
    let main = extract_now(Markup::Markdown, text, None).unwrap();
    assert_eq!(main.title.as_deref(), Some("A: title"));
    assert_eq!(main.author.as_deref(), Some("Ada"));
    assert_eq!(main.published, Some(date(2024, 5, 31)));
    assert_eq!(main.markdown, "Text  stays.\n\n```html\n<!-- code -->\n```\n");
    let toml = "+++\ntitle = 'T'\nauthor = [\"A\", \"B\"]\ndate = 2024-05-31\n+++\nx\n";
    let main = extract_now(Markup::Markdown, toml, None).unwrap();
    assert_eq!((main.title.as_deref(), main.author.as_deref()), (Some("T"), Some("A, B")));
    // A rule is no front matter, an endless comment no comment.
    let main = extract_now(Markup::Markdown, "---\n\n# Heading `x` #\n\na <!-- b\n", None).unwrap();
    assert_eq!(main.markdown, "---\n\n# Heading `x` #\n\na <!-- b\n");
    assert_eq!(main.title.as_deref(), Some("Heading x"));
    let main = extract_now(Markup::Markdown, "Under\n=====\ntext", None).unwrap();
    assert_eq!(main.title.as_deref(), Some("Under"));
}

#[test]
fn plain_text_keeps_its_lines_and_its_titles_become_headings() {
    check(
        Markup::Plain,
        "=====\nGuide\n=====\n\nWrapped text\nof two lines, <b>not bold</b>.\n\nPart\n----\n\n    code <b>\n\n~~~~~ x\nOther\n-----\ntext\n",
        expect![[r"
            # Guide

            Wrapped text
            of two lines, \<b>not bold\</b>.

            ## Part

                code <b>

            \~~~~~ x

            ## Other

            text
        "]],
    );
    let main = extract_now(Markup::Plain, "\n\nFirst line\nsecond", None).unwrap();
    assert_eq!(main.title.as_deref(), Some("First line"));
    let long = "word ".repeat(50);
    assert_eq!(extract_now(Markup::Plain, &long, None).unwrap().title, None);
    check(
        Markup::AsciiDoc,
        "= Title\n:author: Ada\n:revdate: 2024-05-31\n// comment\n\n== Part\ntext\n\n----\n== code\n----\n",
        expect![[r"
            # Title

            ## Part

            text

            ```
            == code
            ```
        "]],
    );
}

#[test]
fn texts_without_words_and_oversized_pages_are_errors() {
    for (markup, text) in [
        (Markup::Html, ""),
        (Markup::Html, "<p> \u{200b} </p><script>x</script>"),
        (Markup::Markdown, "---\ntitle: x\n---\n"),
        (Markup::Plain, " \n\n***\n"),
        (Markup::AsciiDoc, ":author: x\n"),
    ] {
        assert_eq!(extract_now(markup, text, None), Err(NoText::Empty), "{text:?}");
    }
    let large = "x".repeat(HTML_BYTES_MAX + 1);
    assert_eq!(
        extract_now(Markup::Html, &large, None),
        Err(NoText::TooLarge { bytes: HTML_BYTES_MAX + 1 })
    );
}

#[tokio::test]
async fn hostile_nesting_ends_in_time_with_a_result_or_an_error() {
    // Every paragraph opens all formatting elements again that are still open.
    let open: Vec<String> = (0..900).map(|number| format!("<b id={number}>")).collect();
    let open = open.concat();
    let page = format!("<p>{open}{}", "<p>x</p>".repeat(100_000));
    let result = extract(Markup::Html, page, None).await;
    assert!(matches!(result, Err(SourceError::Unreadable { .. })), "{result:?}");
    for tag in ["div", "b", "a", "span", "blockquote", "ul><li", "table><tr><td", "dl><dd", "font"]
    {
        let end = tag.split('>').next().unwrap();
        let html = format!(
            "<p>before, a sentence with a few words</p>{}text{}",
            format!("<{tag}>").repeat(40_000),
            format!("</{end}>").repeat(40_000)
        );
        let started = Instant::now();
        let result = extract(Markup::Html, html, None).await;
        assert!(matches!(result, Ok(_) | Err(SourceError::Unreadable { .. })), "{tag}: {result:?}");
        assert!(started.elapsed() < Duration::from_secs(20), "{tag}: {:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_deep_page_just_below_the_limit_does_not_exhaust_the_stack() {
    for tag in ["div", "ul><li", "blockquote", "i"] {
        let html = format!("{}<p>deep text</p>", format!("<{tag}>").repeat(600));
        let result = extract(Markup::Html, html, None).await;
        assert!(!matches!(result, Err(SourceError::TooLarge { .. })), "{result:?}");
    }
}
