//! Expressions of numbers, whose operands have effects, move and drop.

use super::scope::{Kind, Type};
use super::{Theme, Writer};

impl Writer {
    /// The expression is evaluated on some paths only.
    fn sometimes(&mut self, write: impl FnOnce(&mut Self) -> String) -> String {
        let outside = self.enter();
        let text = write(self);
        self.leave_scope(outside);
        text
    }

    pub(super) fn expression(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.readable(Type::Int) {
                Some(name) if !self.random.one_in(3) => name,
                _ => format!("{}_i64", self.random.below(9)),
            };
        }
        let special = self.random.one_in(2);
        if special {
            let theme = self.themes[self.random.below(self.themes.len())];
            if let Some(text) = self.of_theme(theme, depth) {
                return text;
            }
        }
        let below = depth - 1;
        match self.random.below(12) {
            0 => self.expression(0),
            1 | 2 => format!("({}).wrapping_add({})", self.expression(below), self.expression(below)),
            3 => format!("(({}) ^ ({}))", self.expression(below), self.expression(below)),
            4 | 5 if self.quiet == 0 => format!("cx.call(echo({})).await", self.expression(below)),
            6 => {
                let condition = self.condition(below);
                let one = self.sometimes(|this| this.expression(below));
                let other = self.sometimes(|this| this.expression(below));
                format!("(if {condition} {{ {one} }} else {{ {other} }})")
            }
            7 => format!("note({})", self.expression(below)),
            8 => match self.assign(Type::Int) {
                Some(name) => {
                    let value = self.expression(below);
                    format!("({{ {name} = {value}; {name} }})")
                }
                None => self.expression(below),
            },
            9 => format!(
                "three({}, {}, {})",
                self.expression(below),
                self.expression(below),
                self.expression(0)
            ),
            10 if self.fallible && self.quiet == 0 => {
                let value = self.expression(below);
                match self.random.below(2) {
                    0 => format!("cx.call(fallible({value})).await?"),
                    _ => format!("checked({value})?"),
                }
            }
            _ => format!("i64::from({})", self.condition(below)),
        }
    }

    pub(super) fn condition(&mut self, depth: usize) -> String {
        if depth == 0 {
            return format!("{} % 2 == 0", self.expression(0));
        }
        let below = depth - 1;
        match self.random.below(6) {
            0 => {
                let left = self.condition(below);
                format!("({left} && {})", self.sometimes(|this| this.condition(below)))
            }
            1 => {
                let left = self.condition(below);
                format!("({left} || {})", self.sometimes(|this| this.condition(below)))
            }
            2 => format!("!({})", self.condition(below)),
            _ => format!("({}) < ({})", self.expression(below), self.expression(below)),
        }
    }

    fn of_theme(&mut self, theme: Theme, depth: usize) -> Option<String> {
        match theme {
            Theme::Order => self.of_order(depth),
            Theme::Tokens => self.of_tokens(depth),
            Theme::Temporaries => Some(self.of_temporaries(depth)),
            Theme::Patterns | Theme::Guards => self.of_patterns(depth),
            Theme::Jumps => Some(self.of_jumps(depth)),
            Theme::Closures => Some(self.of_closures(depth)),
            Theme::Fields => self.of_fields(depth),
            Theme::Ranges => self.of_ranges(depth),
            Theme::Macros => Some(self.of_macros(depth)),
            Theme::Calls => self.of_calls(depth),
            Theme::Serde | Theme::Collections | Theme::Items => None,
        }
    }

    /// Operands that later operands change by methods.
    fn of_order(&mut self, depth: usize) -> Option<String> {
        let below = depth - 1;
        match self.random.below(12) {
            0 => Some(format!("{}.bump()", self.changeable(Type::Cursor)?)),
            1 => {
                let cursor = self.changeable(Type::Cursor)?;
                Some(format!("{cursor}.plus({cursor}.bump() ^ {})", self.expression(below)))
            }
            2 => {
                let cursor = self.changeable(Type::Cursor)?;
                let op = self.random.of(&["<", "==", ">=", "!="]);
                let right = self.after(&format!("{cursor}.bump()"), below);
                Some(format!("i64::from({cursor}.at {op} {right})"))
            }
            3 => {
                let list = self.changeable(Type::List)?;
                let op = self.random.of(&["<", "==", ">=", "!="]);
                let right = self.after(&format!("{list}.roll()"), below);
                Some(format!("i64::from({list}[{}] {op} {right})", self.random.below(3)))
            }
            4 => {
                let list = self.changeable(Type::List)?;
                let right = self.after(&format!("{list}.roll()"), below);
                Some(format!("{list}[at3({})].max({right})", self.expression(0)))
            }
            5 => {
                let list = self.changeable(Type::List)?;
                let right = self.after(&format!("{list}.roll()"), below);
                Some(format!("three({list}[1], {right}, {list}[1])"))
            }
            6 => {
                let list = self.changeable(Type::List)?;
                self.lock(&list);
                let value = self.expression(below);
                self.unlock();
                Some(format!("{list}.put({list}[0] ^ {value})"))
            }
            7 => {
                let cursor = self.changeable(Type::Cursor)?;
                let right = self.after(&format!("{cursor}.bump()"), below);
                Some(format!("apply(move |x| x ^ {cursor}.at, {right})"))
            }
            8 => {
                let array = self.changeable(Type::Array)?;
                let (index, value) = (self.expression(below), self.expression(below));
                Some(format!(
                    "{array}[at({index})].wrapping_sub({{ {array}[at({})] = {value}; 1 }})",
                    self.expression(0)
                ))
            }
            9 => {
                let name = self.changeable(Type::Int)?;
                let right = self.after(&format!("{{ {name} = {name}.wrapping_add(3); {name} }}"), below);
                Some(format!("({name}).wrapping_sub({right})"))
            }
            10 => {
                let cursor = self.changeable(Type::Cursor)?;
                let right = self.after(&format!("{cursor}.bump()"), below);
                Some(format!(
                    "[{cursor}.at, {right}, {cursor}.at][at3({})]",
                    self.expression(0)
                ))
            }
            _ => {
                let cursor = self.changeable(Type::Cursor)?;
                let right = self.after(&format!("{cursor}.add(5)"), below);
                Some(format!("({cursor}, {right}, {cursor}).0.plus({cursor}.at)"))
            }
        }
    }

    /// An operand with this effect, before, in or after which is a suspension point.
    fn after(&mut self, effect: &str, depth: usize) -> String {
        if self.quiet > 0 {
            return effect.to_string();
        }
        match self.random.below(4) {
            0 => format!("cx.call(echo({effect})).await"),
            1 => format!(
                "({effect}).wrapping_add(cx.call(echo({})).await)",
                self.expression(depth)
            ),
            2 => format!("{{ let x = {effect}; cx.checkpoint().await; x }}"),
            _ => format!("(cx.call(echo({})).await ^ {effect})", self.expression(depth)),
        }
    }

    fn of_tokens(&mut self, depth: usize) -> Option<String> {
        let below = depth - 1;
        match self.random.below(7) {
            0 => Some(format!("consume({})", self.movable(Type::Token)?)),
            1 => Some(format!("{}.id()", self.readable(Type::Token)?)),
            2 => {
                let token = self.movable(Type::Token)?;
                Some(format!("(consume({token}) ^ {})", self.expression(below)))
            }
            3 => Some(format!("consume(tok({}))", self.expression(below))),
            4 if self.quiet == 0 => {
                let token = self.movable(Type::Token)?;
                Some(format!("cx.call(hold({token}, {})).await", self.expression(below)))
            }
            5 if self.quiet == 0 => Some(format!("consume(cx.call(token({})).await)", self.expression(below))),
            _ => {
                let token = self.readable(Type::Token)?;
                self.lock(&token);
                let value = self.expression(below);
                self.unlock();
                Some(format!("({value} ^ {token}.0)"))
            }
        }
    }

    fn of_temporaries(&mut self, depth: usize) -> String {
        let below = depth - 1;
        let number = self.expression(below);
        match self.random.below(6) {
            0 => format!("tok({number}).id()"),
            1 => format!(
                "(if tok({number}).id() % 2 == 0 {{ {} }} else {{ 2 }})",
                self.sometimes(|this| this.expression(below))
            ),
            2 => format!(
                "(match tok({number}).maybe() {{ Some(x) => x ^ {}, None => 4 }})",
                self.sometimes(|this| this.expression(below))
            ),
            3 if self.quiet == 0 => format!("cx.call(echo(tok({number}).id())).await"),
            4 => format!("{{ let x = tok({number}).id(); x ^ {} }}", self.expression(below)),
            _ => format!("({} ^ {{ note(1); tok({number}).pair().1 }})", self.expression(below)),
        }
    }

    fn of_patterns(&mut self, depth: usize) -> Option<String> {
        let below = depth - 1;
        match self.random.below(3) {
            0 => {
                let value = self.readable(Type::Shape)?;
                let other = self.sometimes(|this| this.expression(below));
                Some(format!(
                    "(match {value} {{ Shape::Line(x, _) | Shape::Frame {{ w: x, .. }} => x, Shape::Named(_, Some(x)) => x ^ 1, _ => {other} }})"
                ))
            }
            1 => {
                let value = self.expression(below);
                Some(format!(
                    "(match shape({value}) {{ Shape::Frame {{ h: (x, y), .. }} => x ^ y, Shape::Named(x, _) => weigh(&x, 1), _ => 3 }})"
                ))
            }
            _ => {
                let array = self.readable(Type::Array)?;
                Some(format!(
                    "(match {array} {{ [x, .., y] if x < y => x, [_, rest @ ..] => rest[1] }})"
                ))
            }
        }
    }

    fn of_jumps(&mut self, depth: usize) -> String {
        let below = depth - 1;
        let left = self.expression(below);
        self.labels += 1;
        let label = self.labels + 100;
        match self.random.below(5) {
            0 => {
                let condition = self.condition(below);
                let value = self.sometimes(|this| this.expression(below));
                format!("({left} ^ 'l{label}: {{ if {condition} {{ break 'l{label} 3; }} {value} }})")
            }
            1 => {
                let value = self.sometimes(|this| this.inside_loop(|this| this.expression(below)));
                format!("three({left}, loop {{ break ({value}); }}, {})", self.expression(0))
            }
            2 if !self.loops.is_empty() => {
                let condition = self.condition(below);
                match self.jump_out() {
                    Some(jump) => format!(
                        "three({left}, if {condition} {{ {jump} }} else {{ 2 }}, {})",
                        self.expression(0)
                    ),
                    None => left,
                }
            }
            3 => {
                let name = self.assign(Type::Int);
                let value = self.sometimes(|this| this.expression(below));
                let Some(name) = name else { return left };
                format!(
                    "'l{label}: {{ {name} = 1 ^ if {left} > 2 {{ break 'l{label} 7 }} else {{ {value} }}; {name} }}"
                )
            }
            _ => {
                let stop = if self.fallible {
                    "return Ok(trace)"
                } else {
                    "return trace"
                };
                format!(
                    "({left} ^ if {} {{ 1 }} else if fuel < -90 {{ {stop} }} else {{ 6 }})",
                    self.condition(below)
                )
            }
        }
    }

    /// What is written inside of a loop must not move what is outside.
    fn inside_loop<T>(&mut self, write: impl FnOnce(&mut Self) -> T) -> T {
        self.labels += 1;
        self.loops.push(super::scope::Loop {
            label: usize::MAX,
            kind: Kind::Plain,
        });
        let written = write(self);
        self.loops.pop();
        written
    }

    /// `break` or `continue` of a loop around.
    pub(super) fn jump_out(&mut self) -> Option<String> {
        let around: Vec<_> = self
            .loops
            .iter()
            .copied()
            .filter(|around| around.label != usize::MAX)
            .collect();
        if around.is_empty() || around.len() != self.loops.len() {
            return None;
        }
        let target = around[self.random.below(around.len())];
        let label = target.label;
        Some(match target.kind {
            Kind::Plain if self.random.one_in(2) => format!("break 'l{label}"),
            Kind::Plain => format!("continue 'l{label}"),
            Kind::Valued if self.random.one_in(2) => format!("continue 'l{label}"),
            Kind::Valued | Kind::Block => format!("break 'l{label} {}", self.expression(0)),
        })
    }

    fn of_closures(&mut self, depth: usize) -> String {
        let below = depth - 1;
        let captured = self.expression(0);
        match self.random.below(6) {
            0 => format!(
                "{{ let f = |x: i64| x ^ {captured}; f(1).wrapping_add(f({})) }}",
                self.expression(0)
            ),
            1 => format!(
                "apply(move |x| x.wrapping_mul(3) ^ {captured}, {})",
                self.expression(below)
            ),
            2 => match self.changeable(Type::Int) {
                Some(name) => {
                    format!("{{ let mut f = |x: i64| {{ {name} = {name}.wrapping_add(x); {name} }}; f(2); f(3) }}")
                }
                None => self.expression(below),
            },
            3 => format!("(0..3_i64).map(|v0| v0 ^ {captured}).filter(|x| x % 2 == 0).sum::<i64>()"),
            4 => {
                let value = self.expression(below);
                format!("even({value}).map_or({captured}, |v1| v1 ^ 1)")
            }
            _ => format!("{{ let t = tok({captured}); let f = move |x: i64| x ^ t.id(); f(2) }}"),
        }
    }

    fn of_fields(&mut self, depth: usize) -> Option<String> {
        let below = depth - 1;
        match self.random.below(5) {
            0 => {
                let text = self.readable(Type::Text)?;
                self.lock(&text);
                let value = self.expression(below);
                self.unlock();
                Some(format!("weigh(&{text}, {value})"))
            }
            1 => {
                let record = self.readable(Type::Record)?;
                self.lock(&record);
                let value = self.expression(below);
                self.unlock();
                Some(format!("weigh(&{record}.more.0, {record}.id ^ {value})"))
            }
            2 => {
                let record = self.changeable(Type::Record)?;
                let value = self.expression(below);
                Some(format!("{{ {record}.id ^= {value}; {record}.id }}"))
            }
            3 => {
                let record = self.changeable(Type::Record)?;
                let right = self.after(
                    &format!("{{ {record}.id = {record}.id.wrapping_add(1); {record}.id }}"),
                    below,
                );
                Some(format!("({record}.id).wrapping_sub({right})"))
            }
            _ if self.quiet == 0 => Some(format!("cx.call(record({})).await.more.1", self.expression(below))),
            _ => None,
        }
    }

    fn of_ranges(&mut self, depth: usize) -> Option<String> {
        let ty = if self.random.one_in(3) {
            Type::Range
        } else {
            Type::Inclusive
        };
        match self.random.below(4) {
            0 | 1 => Some(format!("{}.next().unwrap_or(-5)", self.changeable(ty)?)),
            2 => {
                let range = self.readable(ty)?;
                self.lock(&range);
                let value = self.expression(depth - 1);
                self.unlock();
                Some(format!("i64::from({range}.contains(&few({value})))"))
            }
            _ => Some(format!("{}.clone().count() as i64", self.readable(ty)?)),
        }
    }

    fn of_macros(&mut self, depth: usize) -> String {
        let name = self.readable(Type::Int).unwrap_or_else(|| "a".into());
        let value = self.expression(depth - 1);
        match self.random.below(9) {
            0 => format!("weigh(&format!(\"{{{name}}}-{{}}-{{x}}\", {name}, x = {value}), 1)"),
            1 => format!("i64::from(matches!({value}, x if x > {name}))"),
            2 => format!("i64::from(matches!(rec({value}), Rec {{ id, .. }} if id % 2 == {name} % 2))"),
            3 => format!("weigh(concat!(\"{{{name}}}\", \"!\"), {value})"),
            4 => format!("weigh(stringify!({name} + 1), {value})"),
            5 => format!("field!(rec({value}), id)"),
            6 => format!("{{ event!({name} = {name}, id = {value}); {name} }}"),
            7 => format!("twice!({name}).wrapping_add({value})"),
            _ => format!("weigh(&serde_json::json!({{ \"/{{{name}}}\": {name}, \"k\": [({value})] }}).to_string(), 2)"),
        }
    }

    fn of_calls(&mut self, depth: usize) -> Option<String> {
        if self.quiet > 0 {
            return None;
        }
        let value = self.expression(depth - 1);
        match self.recursive.clone() {
            // Once, or its calls would grow without bound.
            Some(name) if self.loops.is_empty() => {
                self.recursive = None;
                let call = format!("cx.call({name}((a.rem_euclid(16) + 5), {value}{})).await", self.given());
                let question = if self.fallible { "?" } else { "" };
                Some(format!("({call}{question}.len() as i64)"))
            }
            _ => Some(format!(
                "{{ let t = cx.spawn(echo({value})).await; cx.wait(&t).await.unwrap_or(0) }}"
            )),
        }
    }

    /// The third argument of a function that calls itself.
    fn given(&mut self) -> &'static str {
        let has_token = self.scope.iter().any(|variable| variable.name == "given");
        if has_token { ", tok(5)" } else { "" }
    }
}
