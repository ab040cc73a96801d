//! How deep a source may nest, found without parsing it.
//!
//! A recursive parser dies of hostile nesting (`((((`, `!!!!`, `a?a?a?`, `1+1+1+`), and a dead stack is a dead process. One
//! pass over the text gives an upper bound of the depth: each open bracket, and inside each bracket the operators since the
//! statement or list element began. It may overstate; it must never understate, so what it cannot tell (is this `/` a division?)
//! it reports.

/// What the pass found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Nesting {
    /// Upper bound of the depth, in levels of brackets and operators.
    pub depth: usize,
    /// Where the deepest place is, as a byte offset.
    pub deepest: usize,
    /// Some `/` could be a division or a regular expression: the depth holds only up to there.
    pub unsure: bool,
    /// Where the first of these is, as a byte offset.
    pub unsure_at: usize,
}

/// One open bracket, or the whole text.
#[derive(Clone, Copy)]
struct Level {
    close: u8,
    /// It belongs to `if (...)`, `for (...)` or the like: what follows it is a statement, not an operator.
    head: bool,
    /// Its elements are separated by commas and nothing of one element is still open in the next: not so for statements.
    list: bool,
    /// Operators since the statement or element began.
    run: usize,
    /// `<` that may be open type arguments; a comma does not end these.
    angle: usize,
}

/// The last token that was not a comment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Last {
    Nothing,
    /// A name, a literal, `]`, or a `)` that ends an expression.
    Operand,
    /// `)` of `if (...)`.
    Head,
    /// A word after which an expression or statement goes on: `await`, `typeof`, `else`.
    Word,
    /// `}`
    Brace,
    /// `.`, after which any word is a name.
    Dot,
    /// `!`, `>` or a word like `of`: an operand may have ended here, or not.
    Either,
    /// `;`, which ends a statement unless `else` follows.
    Semicolon,
    /// Any other operator.
    Operator,
}

struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
    levels: Vec<Level>,
    /// Sum over all levels but the innermost.
    outer: usize,
    last: Last,
    last_byte: u8,
    last_word_is_head: bool,
    newline: bool,
    found: Nesting,
}

/// Bounds the depth of a text. Linear in its length.
pub(super) fn nesting(source: &str) -> Nesting {
    let mut scan = Scan {
        bytes: source.as_bytes(),
        at: 0,
        levels: vec![Level { close: 0, head: false, list: false, run: 0, angle: 0 }],
        outer: 0,
        last: Last::Nothing,
        last_byte: 0,
        last_word_is_head: false,
        newline: false,
        found: Nesting { depth: 0, deepest: 0, unsure: false, unsure_at: 0 },
    };
    scan.run();
    scan.found
}

impl Scan<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn level(&mut self) -> &mut Level {
        self.levels.last_mut().expect("the level of the whole text is never popped")
    }

    fn run(&mut self) {
        while self.at < self.bytes.len() {
            let byte = self.bytes[self.at];
            if let Some((length, newline)) = self.blank() {
                self.newline |= newline;
                self.at += length;
                continue;
            }
            match byte {
                b'/' if self.peek(1) == b'/' => self.line_comment(),
                b'/' if self.peek(1) == b'*' => self.block_comment(),
                b'#' if self.at == 0 && self.peek(1) == b'!' => self.line_comment(),
                b'/' => self.slash(),
                b'\'' | b'"' => {
                    self.begin_operand(b"");
                    self.string(byte);
                    self.last = Last::Operand;
                }
                b'`' => {
                    self.settle();
                    self.operator();
                    self.at += 1;
                    self.template();
                }
                b'(' | b'[' | b'{' => self.open(byte),
                b')' | b']' | b'}' => self.close(byte),
                b';' => {
                    self.settle();
                    self.end(Last::Semicolon);
                }
                b',' => {
                    self.settle();
                    let level = self.level();
                    level.run = if level.list { 0 } else { level.run };
                    self.end(Last::Operator);
                }
                _ if is_word(byte) => self.word(),
                _ => self.punctuator(byte),
            }
        }
    }

    /// The length of the white space here, and whether it ends a line.
    fn blank(&self) -> Option<(usize, bool)> {
        match self.peek(0) {
            b'\n' | b'\r' => Some((1, true)),
            b' ' | b'\t' | 0x0b | 0x0c => Some((1, false)),
            0xc2 if self.peek(1) == 0xa0 => Some((2, false)),
            0xe1..=0xe3 | 0xef => {
                let text = self.bytes.get(self.at..self.at + 3).and_then(|b| std::str::from_utf8(b).ok())?;
                let char = text.chars().next()?;
                let newline = matches!(char, '\u{2028}' | '\u{2029}');
                (newline || char.is_whitespace() || char == '\u{feff}').then_some((3, newline))
            }
            _ => None,
        }
    }

    fn ends_line(&self) -> bool {
        self.blank().is_some_and(|(_, newline)| newline)
    }

    fn end(&mut self, last: Last) {
        self.last_byte = self.peek(0);
        self.at += 1;
        self.last = last;
        self.newline = false;
    }

    /// A statement that `;` has ended is over now that something other than `else` follows.
    fn settle(&mut self) {
        if self.last == Last::Semicolon {
            self.reset();
            self.last = Last::Operator;
            self.last_byte = b';';
        }
    }

    fn reset(&mut self) {
        let level = self.level();
        level.run = 0;
        level.angle = 0;
    }

    fn operator(&mut self) {
        self.level().run += 1;
        self.measure();
    }

    fn measure(&mut self) {
        let inner = self.levels.last().map_or(0, |l| l.run + l.angle);
        let depth = self.outer + inner + self.levels.len();
        if depth > self.found.depth {
            self.found.depth = depth;
            self.found.deepest = self.at;
        }
    }

    fn open(&mut self, byte: u8) {
        self.settle();
        self.operator();
        let literal = self.last == Last::Operator
            && (matches!(self.last_byte, b'(' | b'[' | b',' | b'=') || (self.last_byte == b':' && self.level().list));
        let (close, head, list) = match byte {
            b'(' => (b')', self.last == Last::Word && self.last_word_is_head, true),
            b'[' => (b']', false, true),
            _ => (b'}', false, literal),
        };
        let level = *self.level();
        self.outer += level.run + level.angle;
        self.levels.push(Level { close, head, list, run: 0, angle: 0 });
        self.measure();
        self.end(Last::Operator);
    }

    fn close(&mut self, byte: u8) {
        // A bracket that does not fit is an error that the parser will report; it stops there.
        let mut head = false;
        if self.levels.len() > 1 {
            head = self.level().head;
            let template = self.level().close == b'`';
            self.levels.pop();
            let level = *self.level();
            self.outer -= level.run + level.angle;
            if template && byte == b'}' {
                self.at += 1;
                self.template();
                return;
            }
        }
        self.end(match byte {
            b'}' => Last::Brace,
            b')' if head => Last::Head,
            _ => Last::Operand,
        });
    }

    /// Ends the statement before `word` where JavaScript would.
    fn begin_operand(&mut self, word: &[u8]) {
        let ends = match self.last {
            Last::Brace => true,
            Last::Operand => self.newline,
            Last::Semicolon => word != b"else",
            _ => false,
        };
        let case = matches!(word, b"case" | b"default") && self.last != Last::Dot;
        if case || (ends && (self.last == Last::Semicolon || !continues(word))) {
            self.reset();
        }
        self.newline = false;
    }

    fn word(&mut self) {
        let start = self.at;
        while is_word(self.peek(0)) && self.blank().is_none() {
            self.at += 1;
        }
        let bytes = self.bytes;
        let word = &bytes[start..self.at];
        self.begin_operand(word);
        if self.last == Last::Dot {
            self.last = Last::Operand;
        } else if goes_on(word) {
            self.operator();
            // `for await (...)`
            self.last_word_is_head =
                matches!(word, b"if" | b"for" | b"while" | b"with" | b"switch" | b"catch") || (word == b"await" && self.last_word_is_head);
            self.last = if reserved(word) { Last::Word } else { Last::Either };
            return;
        } else {
            self.last = Last::Operand;
        }
        self.last_word_is_head = false;
    }

    fn punctuator(&mut self, byte: u8) {
        let next = self.peek(1);
        self.settle();
        match byte {
            b'.' => {
                self.operator();
                self.end(Last::Dot);
            }
            b'=' if next == b'>' => {
                self.operator();
                self.at += 1;
                self.end(Last::Operator);
            }
            b'&' | b'|' | b'?' | b'=' if next == byte => {
                self.operator();
                self.at += 1;
                self.end(Last::Operator);
            }
            b'+' | b'-' if next == byte => {
                self.operator();
                self.at += 1;
                // After an operand it is a suffix; before one, what follows cannot be a regular expression.
                let last = if self.last == Last::Operand { Last::Operand } else { Last::Operator };
                self.end(last);
            }
            b'<' => {
                self.level().angle += 1;
                self.measure();
                self.end(Last::Operator);
            }
            b'>' => {
                self.operator();
                let level = self.level();
                level.angle = level.angle.saturating_sub(1);
                self.end(Last::Either);
            }
            b'!' => {
                self.operator();
                let last = if matches!(self.last, Last::Operand | Last::Brace | Last::Either) { Last::Either } else { Last::Operator };
                self.end(last);
            }
            _ => {
                self.operator();
                self.end(Last::Operator);
            }
        }
    }

    fn slash(&mut self) {
        match self.last {
            Last::Operand | Last::Dot => {
                self.operator();
                self.end(Last::Operator);
                return;
            }
            Last::Brace | Last::Either if !self.found.unsure => {
                self.found.unsure = true;
                self.found.unsure_at = self.at;
            }
            _ => {}
        }
        self.regular_expression();
        self.last = Last::Operand;
        self.newline = false;
    }

    /// Groups nest in a regular expression too, and its parser is as recursive.
    fn regular_expression(&mut self) {
        let (mut class, mut groups, mut run) = (false, 0_usize, 0_usize);
        self.at += 1;
        while self.at < self.bytes.len() && !self.ends_line() {
            match self.bytes[self.at] {
                b'\\' => self.at += 1,
                b'[' => {
                    class = true;
                    run += 1;
                }
                b']' => class = false,
                b'(' => groups += 1,
                b'/' if !class => break,
                _ => {}
            }
            self.at += 1;
        }
        let level = self.level();
        level.run += groups + run;
        self.measure();
        self.level().run -= groups + run;
        self.at += 1;
    }

    fn string(&mut self, quote: u8) {
        self.at += 1;
        while self.at < self.bytes.len() {
            match self.bytes[self.at] {
                b'\\' => self.at += 1,
                b'\n' | b'\r' => return,
                byte if byte == quote => {
                    self.at += 1;
                    return;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    /// From inside a template to its end or to `${`.
    fn template(&mut self) {
        while self.at < self.bytes.len() {
            match self.bytes[self.at] {
                b'\\' => self.at += 1,
                b'`' => {
                    self.end(Last::Operand);
                    return;
                }
                b'$' if self.peek(1) == b'{' => {
                    self.at += 1;
                    let level = *self.level();
                    self.outer += level.run + level.angle;
                    self.levels.push(Level { close: b'`', head: false, list: true, run: 0, angle: 0 });
                    self.measure();
                    self.end(Last::Operator);
                    return;
                }
                _ => {}
            }
            self.at += 1;
        }
    }

    fn line_comment(&mut self) {
        while self.at < self.bytes.len() && !self.ends_line() {
            self.at += 1;
        }
    }

    fn block_comment(&mut self) {
        self.at += 2;
        while self.at < self.bytes.len() && !(self.bytes[self.at] == b'*' && self.peek(1) == b'/') {
            self.newline |= self.ends_line();
            self.at += 1;
        }
        self.at += 2;
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'#' | b'\\' | b'@') || byte >= 0x80
}

/// Words that go on with what was before them, even on a new line.
fn continues(word: &[u8]) -> bool {
    matches!(
        word,
        b"else"
            | b"in"
            | b"of"
            | b"instanceof"
            | b"as"
            | b"satisfies"
            | b"is"
            | b"while"
            | b"catch"
            | b"finally"
            | b"from"
            | b"extends"
            | b"implements"
    )
}

/// Words after which an expression, a type or a statement goes on.
fn goes_on(word: &[u8]) -> bool {
    reserved(word)
        || continues(word)
        || matches!(word, b"async" | b"keyof" | b"readonly" | b"unique" | b"infer" | b"asserts" | b"abstract" | b"declare" | b"static")
}

/// Those of them that are never names, so that a `/` after them begins a regular expression.
fn reserved(word: &[u8]) -> bool {
    matches!(
        word,
        b"await"
            | b"typeof"
            | b"void"
            | b"delete"
            | b"new"
            | b"return"
            | b"throw"
            | b"yield"
            | b"do"
            | b"else"
            | b"if"
            | b"for"
            | b"while"
            | b"with"
            | b"switch"
            | b"case"
            | b"catch"
            | b"finally"
            | b"try"
            | b"in"
            | b"instanceof"
            | b"extends"
            | b"export"
            | b"class"
            | b"function"
    )
}
