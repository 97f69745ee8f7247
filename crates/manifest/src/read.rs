//! YAML text to trees: one for each document that is whole, and a mistake for each that is not.

mod builder;
mod syntax;

use std::ops::Range;

use granit_parser::{Parser, StrInput, options};

use crate::mistake::{Code, Mistake};
use crate::read::builder::Builder;
use crate::tree::{Tree, Value};

/// How deep collections may nest, aliases followed.
const DEPTH: usize = 64;
/// How many values a file may have, aliases followed.
const NODES: usize = 100_000;
/// How many broken documents are reported.
const BROKEN: usize = 50;

/// What a file holds.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    /// The documents that could be read; an empty one is null.
    pub(crate) trees: Vec<Tree>,
    pub(crate) mistakes: Vec<Mistake>,
    /// How many there are, with those that could not be read.
    pub(crate) count: usize,
    /// Where the documents stand that could not be read: a name that nothing has may be in there.
    pub(crate) unread: Vec<Range<usize>>,
}

/// Reads all documents of a text.
pub(crate) fn read(text: &str) -> Documents {
    let options = options! {
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
        emit_comments: false,
        emit_unresolved_aliases: true,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    let mut documents = Documents::default();
    let mut broken = 0;
    let mut budget = NODES;
    // Where the document that comes next begins.
    let mut start = 0;
    loop {
        match document(text, &mut parser, budget) {
            Ok(None) => break,
            Ok(Some(mut builder)) => {
                start = builder.end;
                budget -= builder.tree.len().min(budget);
                documents.count += 1;
                documents.mistakes.append(&mut builder.mistakes);
                documents.trees.push(builder.tree);
            }
            Err(mistake) => {
                broken += 1;
                documents.count += 1;
                let hopeless = mistake.code == Code::Limit || broken == BROKEN;
                documents.mistakes.push(*mistake);
                let more = !hopeless && matches!(parser.proceed_next_document(), Ok(true));
                let next = match parser.peek().filter(|_| more) {
                    Some(Ok((_, span))) => span.byte_range().map_or(text.len(), |range| range.start),
                    _ => text.len(),
                };
                documents.unread.push(start..next.max(start));
                start = next;
                if !more {
                    break;
                }
            }
        }
    }
    // A separator at the end of a file separates nothing.
    if documents.trees.len() > 1 && documents.trees.last().is_some_and(is_empty) {
        documents.trees.pop();
        documents.count -= 1;
    }
    documents
}

/// Whether nothing at all stands in a document.
pub(crate) fn is_empty(tree: &Tree) -> bool {
    let root = tree.node(Tree::ROOT);
    root.value == Value::Null && root.span.is_empty()
}

type YamlParser<'t> = Parser<'t, StrInput<'t>>;

fn document<'t>(
    text: &'t str,
    parser: &mut YamlParser<'t>,
    budget: usize,
) -> Result<Option<Builder<'t>>, Box<Mistake>> {
    let mut builder = Builder::new(text, budget);
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|err| Box::new(syntax::mistake(text, &err)))?;
        if builder.on(event, span)? {
            return Ok(Some(builder));
        }
    }
    Ok(None)
}
