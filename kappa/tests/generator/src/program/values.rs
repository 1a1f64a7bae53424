//! Statements of the themes: values that are moved, dropped, assigned, saved.

use super::scope::{Kind, Type};
use super::{Theme, Writer};

/// What makes values of the types with serde's attributes.
const SAVED: [&str; 7] = [
    "skips",
    "untagged",
    "tagged",
    "adjacent",
    "flat",
    "transparent",
    "converted",
];

impl Writer {
    /// Declares what a theme works on.
    pub(super) fn furnish(&mut self, theme: Theme) {
        let value = self.expression(0);
        match theme {
            Theme::Order => {
                self.declare_named("cur", Type::Cursor, &format!("Cur {{ at: {value} }}"));
                self.declare_named("list", Type::List, &format!("vec![{value}, 5, b]"));
                self.declare_named("array", Type::Array, &format!("[1_i64, {value}, b, 4]"));
            }
            Theme::Tokens => self.declare_named("t0", Type::Token, &format!("tok({value})")),
            Theme::Patterns | Theme::Guards => {
                self.declare_named("form", Type::Shape, &format!("shape({value})"));
                self.declare_named("array", Type::Array, &format!("[{value}, 2_i64, b, 7]"));
            }
            Theme::Fields => {
                self.declare_named("r", Type::Record, &format!("rec({value})"));
                self.declare_named("s", Type::Text, &format!("format!(\"s{{}}\", {value})"));
            }
            Theme::Ranges => {
                self.declare_named("ids", Type::Inclusive, &format!("few({value})..=4"));
                self.declare_named("rest", Type::Range, &format!("0..few({value})"));
            }
            _ => {}
        }
    }

    fn declare_named(&mut self, name: &str, ty: Type, value: &str) {
        self.line(&format!("let mut {name} = {value};"));
        self.see(name, ty, true);
    }

    /// A statement of a theme; false if there is none here.
    pub(super) fn statement_of(&mut self, theme: Theme, depth: usize) -> bool {
        match theme {
            Theme::Order => self.order(),
            Theme::Tokens => self.tokens(depth),
            Theme::Temporaries => self.temporaries(depth),
            Theme::Patterns | Theme::Guards => self.patterns(theme, depth),
            Theme::Fields => self.fields(),
            Theme::Serde => self.saved(),
            Theme::Ranges => self.ranges(depth),
            Theme::Collections => self.collections(depth),
            Theme::Items => self.items(),
            Theme::Macros => self.macros(),
            Theme::Calls => self.queue(),
            Theme::Jumps | Theme::Closures => false,
        }
    }

    fn order(&mut self) -> bool {
        let value = self.expression(2);
        match self.random.below(6) {
            0 => {
                self.declare(Type::Cursor, &format!("Cur {{ at: {value} }}"));
            }
            1 => {
                self.declare(Type::List, &format!("vec![{value}, 5, a]"));
            }
            2 => {
                let Some(list) = self.changeable(Type::List) else {
                    return false;
                };
                let op = self.random.of(&["=", "^=", "|="]);
                let index = self.random.below(4);
                self.line(&format!("{list}[at3({index})] {op} {value};"));
            }
            3 => {
                let Some(array) = self.changeable(Type::Array) else {
                    return false;
                };
                let index = self.expression(1);
                let op = self.random.of(&["=", "^=", "&="]);
                self.line(&format!("{array}[at({index})] {op} {value};"));
            }
            4 => {
                let Some(cursor) = self.changeable(Type::Cursor) else {
                    return false;
                };
                let op = self.random.of(&["=", "^="]);
                self.line(&format!("{cursor}.at {op} {value};"));
            }
            _ => {
                let Some(array) = self.changeable(Type::Array) else {
                    return false;
                };
                self.line(&format!("({array}[0], {array}[3]) = ({array}[3], {value});"));
            }
        }
        true
    }

    fn tokens(&mut self, depth: usize) -> bool {
        let number = self.expression(1);
        match self.random.below(17) {
            0 | 1 => {
                self.declare(Type::Token, &format!("tok({number})"));
            }
            2 => {
                let name = self.random.of(&["_g", "_guard"]).to_string();
                self.line(&format!("let {name} = tok({number});"));
            }
            3 => {
                let Some(token) = self.movable(Type::Token) else {
                    return false;
                };
                self.line(&format!("drop({token});"));
            }
            4 => {
                let Some(token) = self.movable(Type::Token) else {
                    return false;
                };
                let condition = self.condition(1);
                self.line(&format!("if {condition} {{ drop({token}); }}"));
            }
            5 => {
                // The value is computed before the old one is dropped.
                let Some(token) = self.assign(Type::Token) else {
                    return false;
                };
                let value = match self.quiet == 0 && self.random.one_in(2) {
                    true => format!("cx.call(token({number})).await"),
                    false => format!("tok({number})"),
                };
                self.line(&format!("{token} = {value};"));
            }
            6 => self.line(&format!("let _ = tok({number});")),
            7 => {
                let value = format!("Pair {{ left: tok({number}), right: tok({}) }}", self.expression(0));
                self.declare(Type::Pair, &value);
            }
            8 => {
                let Some(pair) = self.movable(Type::Pair) else {
                    return false;
                };
                match self.random.below(4) {
                    0 => {
                        self.line(&format!("drop({pair}.right);"));
                    }
                    1 => {
                        let name = self.fresh();
                        self.line(&format!("let {name} = {pair}.left;"));
                        self.see(&name, Type::Token, false);
                    }
                    2 => {
                        self.line(&format!("let Pair {{ left: _left, .. }} = {pair};"));
                    }
                    _ => {
                        self.line(&format!("let Pair {{ right: _first, left: _second }} = {pair};"));
                    }
                }
            }
            9 => {
                let Some(pair) = self.changeable(Type::Pair) else {
                    return false;
                };
                self.line(&format!("{pair}.left = tok({number});"));
            }
            10 => {
                let value = format!("vec![tok({number}), tok({})]", self.expression(0));
                self.declare(Type::Tokens, &value);
            }
            11 => {
                let Some(tokens) = self.movable(Type::Tokens) else {
                    return false;
                };
                let name = self.random.of(&["_t", "each"]).to_string();
                self.loop_block(
                    &format!("for {name} in {tokens}"),
                    "",
                    Kind::Plain,
                    &[(&name, Type::Token)],
                    depth,
                );
            }
            12 => {
                self.block("", "", |this| {
                    let name = this.fresh();
                    this.line(&format!("let {name} = tok({number});"));
                    this.see(&name, Type::Token, false);
                    this.statements(depth + 1);
                });
            }
            13 => {
                let (name, condition) = (self.fresh(), self.condition(1));
                self.line(&format!("let {name};"));
                let outside = self.enter();
                let one = self.expression(1);
                self.line(&format!(
                    "if {condition} {{ {name} = tok({one}); }} else {{ {name} = tok(2); }}"
                ));
                self.leave_scope(outside);
                self.see(&name, Type::Token, false);
            }
            14 => {
                let Some(token) = self.movable(Type::Token) else {
                    return false;
                };
                let head = self.random.of(&["if let Some(_held)", "if let Some(held)"]);
                self.block(&format!("{head} = Some({token})"), "", |this| {
                    this.statements(depth + 1)
                });
            }
            15 => {
                let Some(token) = self.movable(Type::Token) else {
                    return false;
                };
                self.block(&format!("match (1, {token})"), "", |this| {
                    this.block("(1, _m) =>", "", |this| this.statements(depth + 1));
                    this.line("_ => {}");
                });
            }
            _ => {
                let Some(token) = self.movable(Type::Token) else {
                    return false;
                };
                let name = self.fresh();
                self.line(&format!("let {name} = Some(({token}, {number}));"));
                self.line(&format!("if let Some((_, n)) = &{name} {{ note(*n); }}"));
                self.point();
                self.line(&format!("let {name} = {name}.map_or(0, |(t, n)| consume(t) ^ n);"));
                self.see(&name, Type::Int, false);
            }
        }
        true
    }

    fn temporaries(&mut self, depth: usize) -> bool {
        let number = self.expression(1);
        match self.random.below(6) {
            0 => {
                self.block(&format!("if let Some(x) = tok({number}).maybe()"), "", |this| {
                    this.see("x", Type::Int, false);
                    this.statements(depth + 1);
                });
                if self.random.one_in(2) {
                    self.block("else", "", |this| this.statements(depth + 1));
                }
            }
            1 => {
                self.block(&format!("match tok({number}).pair()"), "", |this| {
                    this.block("(0, y) =>", "", |this| {
                        this.see("y", Type::Int, false);
                        this.statements(depth + 1);
                    });
                    this.block("(x, _) =>", "", |this| {
                        this.see("x", Type::Int, false);
                        this.statements(depth + 1);
                    });
                });
            }
            2 => {
                self.block(&format!("if tok({number}).id() % 2 == 0"), "", |this| {
                    this.statements(depth + 1)
                });
            }
            3 => {
                let mask = self.random.below(4);
                self.loop_block(
                    &format!("while let Some(x) = tok(fuel ^ {mask}).maybe()"),
                    "",
                    Kind::Plain,
                    &[("x", Type::Int)],
                    depth,
                );
            }
            4 => {
                let name = self.fresh();
                self.block(&format!("let Some({name}) = tok({number}).maybe() else"), ";", |this| {
                    this.point();
                    this.give_up();
                });
                self.see(&name, Type::Int, false);
            }
            _ => {
                self.loop_block(
                    &format!("for x in 0..few(tok({number}).id())"),
                    "",
                    Kind::Plain,
                    &[("x", Type::Int)],
                    depth,
                );
            }
        }
        true
    }

    fn fields(&mut self) -> bool {
        let number = self.expression(1);
        match self.random.below(9) {
            0 => {
                self.declare(Type::Record, &format!("rec({number})"));
            }
            1 => {
                let Some(record) = self.changeable(Type::Record) else {
                    return false;
                };
                let value = if self.quiet == 0 {
                    format!("cx.call(text({number})).await")
                } else {
                    format!("format!(\"{{}}\", {number})")
                };
                self.line(&format!("log({record}.name);"));
                self.line(&format!("{record}.name = {value};"));
            }
            2 => {
                let Some(record) = self.changeable(Type::Record) else {
                    return false;
                };
                self.lock(&record);
                let value = self.expression(1);
                self.unlock();
                self.line(&format!("{record} = Rec {{ id: {value}, ..{record} }};"));
            }
            3 => {
                let Some(record) = self.movable(Type::Record) else {
                    return false;
                };
                let name = self.fresh();
                self.line(&format!("let Rec {{ name: {name}, more: (part, x), .. }} = {record};"));
                self.see(&name, Type::Text, false);
                self.see("part", Type::Text, false);
                self.see("x", Type::Int, false);
            }
            4 => {
                self.declare(Type::Text, &format!("format!(\"x{{}}\", {number})"));
            }
            5 => {
                let Some(text) = self.changeable(Type::Text) else {
                    return false;
                };
                self.lock(&text);
                let value = self.expression(1);
                self.unlock();
                match self.random.below(3) {
                    0 => self.line(&format!("{text} += &format!(\"{{}}\", {value});")),
                    1 if self.quiet == 0 => self.line(&format!("{text}.push_str(&cx.call(text({value})).await);")),
                    _ => self.line(&format!("{text}.insert(0, char::from(b'a' + at({value}) as u8));")),
                }
            }
            6 => {
                let Some(text) = self.movable(Type::Text) else {
                    return false;
                };
                let name = self.fresh();
                self.line(&format!("let {name} = {text};"));
                self.see(&name, Type::Text, false);
            }
            7 => {
                let Some(record) = self.changeable(Type::Record) else {
                    return false;
                };
                self.lock(&record);
                let value = self.expression(1);
                self.unlock();
                self.line(&format!("let x = {record}.more.0.len() as i64 ^ {value};"));
                self.line(&format!("{record}.more = (format!(\"{{x}}\"), {record}.more.1);"));
                self.see("x", Type::Int, false);
            }
            _ => {
                let Some(record) = self.movable(Type::Record) else {
                    return false;
                };
                self.line(&format!("let name = {record}.name;"));
                self.see("name", Type::Text, false);
                self.line(&format!("note({record}.more.1);"));
            }
        }
        true
    }

    fn saved(&mut self) -> bool {
        let number = self.expression(1);
        let kind = self.random.below(SAVED.len());
        match self.random.below(4) {
            0 | 1 => {
                let name = self.declare(Type::Saved(kind), &format!("{}({number})", SAVED[kind]));
                if self.random.one_in(2) {
                    self.point();
                    self.line(&format!("log(format!(\"{{:?}}\", {name}));"));
                }
            }
            2 => {
                let kept = self
                    .random
                    .of(&["Some", "Ok::<_, String>", "Box::new", "std::sync::Arc::new"])
                    .to_string();
                self.line(&format!("let kept = {kept}({}({number}));", SAVED[kind]));
                self.point();
                self.line("log(format!(\"{kept:?}\"));");
            }
            _ => {
                let other = self.random.below(SAVED.len());
                self.line(&format!(
                    "let kept = vec![({}({number}), {}(a))];",
                    SAVED[kind], SAVED[other]
                ));
                self.point();
                self.line("log(format!(\"{kept:?}\"));");
            }
        }
        true
    }

    fn ranges(&mut self, depth: usize) -> bool {
        let number = self.expression(1);
        match self.random.below(5) {
            0 => {
                self.declare(Type::Inclusive, &format!("few({number})..=few(b)"));
            }
            1 => {
                self.declare(Type::Range, &format!("few({number})..4_i64"));
            }
            2 | 3 => {
                let ty = if self.random.one_in(3) {
                    Type::Range
                } else {
                    Type::Inclusive
                };
                let Some(range) = self.changeable(ty) else { return false };
                let name = self.fresh();
                if name == range {
                    return false;
                }
                self.loop_block(
                    &format!("while let Some({name}) = {range}.next()"),
                    "",
                    Kind::Plain,
                    &[(&name, Type::Int)],
                    depth,
                );
            }
            _ => {
                let Some(range) = self.readable(Type::Inclusive) else {
                    return false;
                };
                self.line(&format!("trace.extend([*{range}.start(), *{range}.end()]);"));
            }
        }
        true
    }

    fn collections(&mut self, depth: usize) -> bool {
        let (x, y) = (self.expression(1), self.expression(0));
        let text = Type::Text;
        let (head, pattern): (String, Vec<(&str, Type)>) = match self.random.below(9) {
            0 => (format!("for v2 in [{x}, {y}]"), vec![("v2", Type::Int)]),
            1 => (
                format!("for (i, v3) in vec![({x}, format!(\"{{}}\", {y})), (3, String::new())]"),
                vec![("i", Type::Int), ("v3", text)],
            ),
            2 => (
                format!("for (key, v0) in std::collections::BTreeMap::from([({x}, {y}), (4, 5)])"),
                vec![("key", Type::Int), ("v0", Type::Int)],
            ),
            3 => (
                format!("for v1 in std::collections::VecDeque::from([{x}, {y}])"),
                vec![("v1", Type::Int)],
            ),
            4 => (
                format!(
                    "for (_, part) in vec![{x}, {y}].into_iter().zip([String::from(\"p\"), String::from(\"q\")]).collect::<Vec<_>>()"
                ),
                vec![("part", text)],
            ),
            5 => (
                format!("for Rec {{ name, id, .. }} in [rec({x}), rec({y})]"),
                vec![("name", text), ("id", Type::Int)],
            ),
            6 => (
                format!("for v0 in std::collections::BTreeSet::from([{x}, {y}])"),
                vec![("v0", Type::Int)],
            ),
            7 => (format!("for both in named({x})"), vec![]),
            _ => (
                format!("for each in vec![tok({x}), tok({y})]"),
                vec![("each", Type::Token)],
            ),
        };
        self.loop_block(&head, "", Kind::Plain, &pattern, depth);
        true
    }

    fn items(&mut self) -> bool {
        let number = self.expression(1);
        match self.random.below(9) {
            0 => {
                self.line("#[cfg(any())] let v1 = 1000_i64;");
                self.line(&format!("#[cfg(all())] let v2 = {number};"));
                self.see("v2", Type::Int, false);
            }
            1 => {
                self.line(&format!(
                    "let v0 = {{ #[cfg(any())] let x = 5_i64; let x = {number}; x ^ 1 }};"
                ));
                self.see("v0", Type::Int, false);
            }
            2 => {
                self.labels += 1;
                let name = format!("{}{}", self.random.of(&["LIMIT", "limit"]), self.labels);
                self.line(&format!("const {name}: i64 = 3;"));
                self.line(&format!(
                    "trace.push(match {number} {{ {name} => 1, N if N > {name} => N, _ => {name} }});"
                ));
            }
            3 => {
                let inside = self.expression(0);
                self.line("trace.push({");
                self.line("    fn three(v1: i64, _: i64, _: i64) -> i64 { v1 ^ 9 }");
                self.indent += 1;
                self.point();
                self.indent -= 1;
                self.line(&format!("    three({inside}, 2, 3)"));
                self.line("});");
            }
            4 => {
                self.labels += 1;
                let name = format!("Here{}", self.labels);
                self.line(&format!("struct {name} {{ x: i64 }}"));
                self.line(&format!("trace.push({name} {{ x: {number} }}.x);"));
            }
            5 => {
                let Some(name) = self.changeable(Type::Int) else {
                    return false;
                };
                self.line(&format!("let change = &mut {name};"));
                let mask = self.random.below(50);
                self.line(&format!("*change ^= {mask};"));
            }
            6 => {
                let Some(name) = self.readable(Type::Int) else {
                    return false;
                };
                let condition = self.condition(1);
                self.line(&format!("let chosen = if {condition} {{ &a }} else {{ &{name} }};"));
                self.line("note(*chosen);");
            }
            7 => {
                let never = self.random.below(9);
                self.line(&format!("#[cfg(any())] {{ trace.push({never}); }}"));
                self.line(&format!("#[cfg(not(any()))] {{ trace.push({number}); }}"));
            }
            _ => {
                self.line(&format!("let x = std::future::ready({number}).await;"));
                self.see("x", Type::Int, false);
            }
        }
        true
    }

    fn macros(&mut self) -> bool {
        let number = self.expression(1);
        let name = self.readable(Type::Int).unwrap_or_else(|| "a".into());
        match self.random.below(6) {
            0 => self.line(&format!("log(format!(\"{{{name}:>4}} {{}} {{{name}:?}}\", {number}));")),
            1 => self.line(&format!("assert!({name} == {name}, \"{{{name}}}\");")),
            2 => {
                self.line("macro_rules! here { ($x:expr) => { $x ^ 6 } }");
                self.line(&format!("trace.push(here!({number}));"));
            }
            3 => self.line(&format!("event!({name} = {number}, other = {name});")),
            4 => self.line(&format!("trace.extend(vec![{name}, {number}]);")),
            _ => {
                self.line("use std::fmt::Write as _;");
                self.line("let mut text = String::new();");
                self.line(&format!(
                    "write!(text, \"{{{name}}} {{}}\", {number}).unwrap_or_default();"
                ));
                self.line("log(text);");
            }
        }
        true
    }

    fn queue(&mut self) -> bool {
        if self.quiet > 0 {
            return false;
        }
        let number = self.expression(1);
        match self.random.below(3) {
            0 => {
                self.line("let q = cx.queue(4).await;");
                self.line(&format!("cx.enqueue(&q, {number}).await;"));
                self.line("trace.extend(cx.dequeue(&q).await);");
            }
            1 => {
                self.line(&format!("let task = cx.spawn(text({number})).await;"));
                let value = self.expression(1);
                self.line(&format!("note({value});"));
                self.line("log(cx.wait(&task).await.unwrap_or_default());");
            }
            _ => self.line(&format!(
                "cx.sleep(std::time::Duration::from_secs(at({number}) as u64)).await;"
            )),
        }
        true
    }
}
