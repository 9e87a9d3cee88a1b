//! What a page costs to parse, before it is parsed into a tree.
//!
//! HTML's rules for repairing markup let a small page ask for a huge tree: elements nested ten
//! thousand deep, or a thousand open formatting elements that every paragraph opens again. This
//! sink lets the parser run without building anything, counts, and stops it in time.

use std::{borrow::Cow, cell::Cell, rc::Rc};

use html5ever::{
    Attribute, LocalName, Namespace, ParseOpts, QualName, parse_document,
    tendril::{StrTendril, TendrilSink},
    tree_builder::{ElementFlags, NodeOrText, QuirksMode, TreeSink},
};

/// Bytes that are parsed between two looks at the count.
const CHUNK_BYTES: usize = 4 * 1024;

/// Elements, comments and runs of text of one page. The largest reference pages have under
/// 100,000 (rustdoc's `Vec`, Node's `fs`); trafilatura takes about 1.5 KB of memory for each.
const NODES_MAX: usize = 200_000;

/// Elements inside each other. Pages that people wrote stay below 100; browsers stop at 512.
const NESTING_MAX: usize = 1_000;

/// Whether the tree of `html` would stay within [`NODES_MAX`], [`NESTING_MAX`] and `weight_max`,
/// the sum over its nodes of their depth.
pub(super) fn is_affordable(html: &str, weight_max: usize) -> bool {
    let counter = Counter::default();
    let count = counter.count.clone();
    let is_within = || {
        count.nodes.get() <= NODES_MAX
            && count.deepest.get() <= NESTING_MAX
            && count.weight.get() <= weight_max
    };
    let mut parser = parse_document(counter, ParseOpts::default());
    let mut rest = html;
    while !rest.is_empty() {
        let mut end = rest.len().min(CHUNK_BYTES);
        while !rest.is_char_boundary(end) {
            end += 1;
        }
        parser.process(StrTendril::from(&rest[..end]));
        rest = &rest[end..];
        if !is_within() {
            return false;
        }
    }
    parser.finish();
    is_within()
}

/// A node that is counted and not kept.
#[derive(Debug)]
struct Counted {
    name: QualName,
    depth: Cell<usize>,
}

type Handle = Rc<Counted>;

#[derive(Debug, Default)]
struct Count {
    nodes: Cell<usize>,
    weight: Cell<usize>,
    deepest: Cell<usize>,
    /// The last thing placed was text: what follows it as text is the same node.
    in_text: Cell<bool>,
}

#[derive(Debug)]
struct Counter {
    document: Handle,
    count: Rc<Count>,
}

fn node(name: QualName) -> Handle {
    Rc::new(Counted { name, depth: Cell::new(0) })
}

fn nameless() -> Handle {
    node(QualName::new(None, Namespace::from(""), LocalName::from("")))
}

impl Default for Counter {
    fn default() -> Self {
        Self { document: nameless(), count: Rc::default() }
    }
}

impl Counter {
    fn place(&self, depth: usize, child: &NodeOrText<Handle>) {
        let count = &*self.count;
        let is_text = match child {
            NodeOrText::AppendNode(child) => {
                child.depth.set(depth);
                false
            }
            NodeOrText::AppendText(_) => true,
        };
        if is_text && count.in_text.replace(is_text) {
            return;
        }
        count.in_text.set(is_text);
        count.nodes.set(count.nodes.get() + 1);
        count.weight.set(count.weight.get() + depth);
        count.deepest.set(count.deepest.get().max(depth));
    }
}

impl TreeSink for Counter {
    type Handle = Handle;
    type Output = ();
    type ElemName<'a> = &'a QualName;

    fn finish(self) {}

    fn parse_error(&self, _message: Cow<'static, str>) {}

    fn get_document(&self) -> Handle {
        self.document.clone()
    }

    fn elem_name<'a>(&'a self, target: &'a Handle) -> &'a QualName {
        &target.name
    }

    fn create_element(&self, name: QualName, _: Vec<Attribute>, _: ElementFlags) -> Handle {
        node(name)
    }

    fn create_comment(&self, _text: StrTendril) -> Handle {
        nameless()
    }

    fn create_pi(&self, _target: StrTendril, _data: StrTendril) -> Handle {
        nameless()
    }

    fn append(&self, parent: &Handle, child: NodeOrText<Handle>) {
        self.place(parent.depth.get() + 1, &child);
    }

    fn append_based_on_parent_node(
        &self,
        element: &Handle,
        previous: &Handle,
        child: NodeOrText<Handle>,
    ) {
        // Beside the first if that has a parent, else inside the second: the deeper one counts.
        self.place(element.depth.get().max(previous.depth.get() + 1), &child);
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &Handle) -> Handle {
        target.clone()
    }

    fn same_node(&self, left: &Handle, right: &Handle) -> bool {
        Rc::ptr_eq(left, right)
    }

    fn set_quirks_mode(&self, _mode: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &Handle, child: NodeOrText<Handle>) {
        self.place(sibling.depth.get(), &child);
    }

    fn add_attrs_if_missing(&self, _target: &Handle, _attributes: Vec<Attribute>) {}

    fn remove_from_parent(&self, _target: &Handle) {}

    fn reparent_children(&self, _node: &Handle, _parent: &Handle) {}
}
