//! Which part of a page is its main region, and what inside it never is.

use trafilatura::dom::{Document as Page, NodeId};

/// Share of the body's letters that a declared region must hold to be believed.
const REGION_SHARE_MIN: f64 = 0.25;

/// Where pages declare their main text, most reliable first.
const REGIONS: &[&str] = &[
    "main",
    "[role=main]",
    "#mw-content-text",
    "article",
    "div.body",
    "div.rst-content",
    "#apicontent",
    ".markdown-body",
    "#main-content",
    "#bodyContent",
    "#content",
];

/// Beginnings of the `generator` meta tag of programs that write documentation. Their pages
/// declare their main text and hold no advertising, so the region is taken as a whole.
const GENERATORS: &[&str] = &[
    "asciidoc",
    "docbook",
    "docutils",
    "docusaurus",
    "doxygen",
    "gi-docgen",
    "groff",
    "javadoc",
    "makeinfo",
    "mdbook",
    "mkdocs",
    "pandoc",
    "rustdoc",
    "sphinx",
    "texinfo",
    "vitepress",
];

/// Signs of documentation in pages whose generator writes no meta tag.
const DOCUMENTATION: &[&str] = &[
    "div.sphinxsidebar",
    "div.refentry",
    "div.body[role=main]",
    "#apicontent",
    "#mdbook-sidebar",
    "nav.sidebar ol.chapter",
    "section.rustdoc, div.rustdoc, body.rustdoc",
];

/// Elements that never hold main text.
const TAGS_LEFT: &[&str] = &[
    "area", "audio", "button", "canvas", "datalist", "dialog", "embed", "footer", "form", "frame",
    "head", "iframe", "img", "input", "link", "map", "meta", "nav", "noscript", "object",
    "picture", "script", "select", "style", "svg", "template", "textarea",
];

/// Roles that never hold main text.
const ROLES_LEFT: &[&str] = &[
    "alertdialog",
    "banner",
    "complementary",
    "contentinfo",
    "dialog",
    "menu",
    "menubar",
    "navigation",
    "search",
    "tablist",
];

/// Classes and ids, whole and in lower case, that never hold main text.
const NAMES_LEFT: &[&str] = &[
    "ads",
    "advert",
    "advertisement",
    "author-bio",
    "back-to-top",
    "breadcrumb",
    "breadcrumbs",
    "byline",
    "catlinks",
    "comment-list",
    "comments",
    "cookie",
    "cookie-banner",
    "cookie-consent",
    "cookie-notice",
    "copybtn",
    "copy-button",
    "copy-to-clipboard-button",
    "disqus_thread",
    "edit-link",
    "edit-page",
    "footer",
    "gutter",
    "headerlink",
    "hideme",
    "line-numbers",
    "lineno",
    "linenodiv",
    "linenos",
    "masthead",
    "menu",
    "mw-editsection",
    "mw-jump-link",
    "navbar",
    "navbox",
    "navfooter",
    "navheader",
    "navigation",
    "nav",
    "newsletter",
    "newsletter-signup",
    "noprint",
    "notable-traits",
    "out-of-band",
    "page-nav",
    "pager",
    "pagination",
    "popup",
    "post-navigation",
    "post-tags",
    "printfooter",
    "promo",
    "related",
    "related-articles",
    "related-posts",
    "rightside",
    "screen-reader-text",
    "searchbox",
    "share",
    "share-buttons",
    "sharing",
    "sidebar",
    "sitesub",
    "skip-link",
    "social",
    "social-share",
    "source-link",
    "sphinxsidebar",
    "sponsored",
    "sr-only",
    "srclink",
    "subscribe",
    "test-arrow",
    "tooltip",
    "visually-hidden",
];

/// Classes and ids of tables of contents, which repeat the headings.
const CONTENTS: &[&str] = &[
    "fancy_toc",
    "list-of-tables",
    "page-toc",
    "sphinx-toc",
    "table-of-contents",
    "table_of_contents",
    "tableofcontents",
    "toc",
    "toctree-wrapper",
];

/// Names of tables of contents that other elements carry too: believed where an element holds
/// hardly anything but links.
const CONTENTS_DOUBTFUL: &[&str] = &["contents"];

/// The main region of a page.
pub(super) struct Region {
    /// Its element.
    pub(super) node: NodeId,
    /// The page itself said so; otherwise it is the body.
    pub(super) declared: bool,
    /// The page was written by a documentation generator.
    pub(super) documentation: bool,
}

/// Finds the main region.
pub(super) fn find(page: &Page) -> Region {
    let body = page.body().unwrap_or_else(|| page.root());
    let documentation = is_documentation(page);
    let letters_body = letters(page, body);
    for &selector in REGIONS {
        let matches = page.query_selector_all(body, selector);
        // Several articles are a list of teasers, unless one of them outweighs the rest.
        let Some((node, held)) = matches
            .into_iter()
            .map(|node| (node, letters(page, node)))
            .max_by(|left, right| left.1.cmp(&right.1))
        else {
            continue;
        };
        if held > 0 && held as f64 >= REGION_SHARE_MIN * letters_body as f64 {
            return Region { node, declared: true, documentation };
        }
    }
    Region { node: body, declared: false, documentation }
}

fn is_documentation(page: &Page) -> bool {
    let root = page.root();
    let generated = page
        .query_selector_all(root, "meta[name=generator], meta[name=Generator]")
        .into_iter()
        .filter_map(|node| page.get_attribute(node, "content"))
        .any(|content| {
            let content = content.trim_start().to_lowercase();
            GENERATORS.iter().any(|generator| content.starts_with(generator))
        });
    generated || DOCUMENTATION.iter().any(|selector| page.query_selector(root, selector).is_some())
}

/// Letters and digits of a subtree, without what [`is_left_out`] leaves out.
fn letters(page: &Page, node: NodeId) -> usize {
    let mut open = vec![node];
    let mut sum = 0;
    while let Some(next) = open.pop() {
        if page.is_text(next) {
            sum += page.text_content(next).chars().filter(|c| c.is_alphanumeric()).count();
        } else if next == node || !is_left_out(page, next) {
            open.extend(page.child_nodes(next));
        }
    }
    sum
}

/// Whether an element and everything in it is no main text.
pub(super) fn is_left_out(page: &Page, node: NodeId) -> bool {
    let tag = page.tag_name(node);
    if tag.is_empty() {
        return false;
    }
    if TAGS_LEFT.contains(&tag) || page.get_attribute(node, "hidden").is_some() {
        return true;
    }
    if page.get_attribute(node, "aria-hidden").is_some_and(|value| value == "true") {
        return true;
    }
    if let Some(role) = page.get_attribute(node, "role")
        && ROLES_LEFT.contains(&role.to_lowercase().as_str())
    {
        return true;
    }
    if let Some(style) = page.get_attribute(node, "style") {
        let style: String = style.chars().filter(|c| !c.is_whitespace()).collect();
        if style.contains("display:none") || style.contains("visibility:hidden") {
            return true;
        }
    }
    // rustdoc's links to source code; elsewhere `src` marks code itself.
    if tag == "a" && has_name(page, node, &["src"]) {
        return true;
    }
    // `body` and `html` carry states of the whole page as classes, such as `sidebar-visible`.
    !matches!(tag, "html" | "body" | "main") && has_name(page, node, NAMES_LEFT)
}

/// Whether an element is a table of contents.
pub(super) fn is_contents(page: &Page, node: NodeId) -> bool {
    if !matches!(page.tag_name(node), "div" | "ul" | "ol" | "dl" | "aside" | "section" | "table") {
        return false;
    }
    if has_name(page, node, CONTENTS) {
        return true;
    }
    has_name(page, node, CONTENTS_DOUBTFUL) && is_mostly_links(page, node)
}

fn is_mostly_links(page: &Page, node: NodeId) -> bool {
    let linked: usize =
        page.iter_descendants(node, &["a"]).into_iter().map(|link| letters(page, link)).sum();
    linked * 10 >= letters(page, node) * 7
}

/// Whether the id or one of the classes of an element is among `names`, which are in lower case.
pub(super) fn has_name(page: &Page, node: NodeId, names: &[&str]) -> bool {
    let known = |name: &str| names.contains(&name.to_lowercase().as_str());
    page.get_attribute(node, "id").is_some_and(|id| known(&id))
        || page
            .get_attribute(node, "class")
            .is_some_and(|classes| classes.split_whitespace().any(known))
}
