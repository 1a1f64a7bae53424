//! Statements that take values apart.

use super::scope::Type;
use super::{Theme, Writer};

impl Writer {
    pub(super) fn patterns(&mut self, theme: Theme, depth: usize) -> bool {
        let points = theme == Theme::Guards;
        match self.random.below(7) {
            0 => self.either(points, depth),
            1 => self.of_a_place(points, depth),
            2 => self.of_a_value(points, depth),
            3 => {
                let (x, y) = (self.expression(1), self.expression(1));
                let (one, other) = (self.fresh(), "rest");
                self.line(&format!(
                    "let (({one}, _), [{other}, ..]) = (({x}, 1_i64), [{y}, 2, 3]);"
                ));
                if one != other {
                    self.see(&one, Type::Int, false);
                }
                self.see(other, Type::Int, false);
                true
            }
            4 => {
                let (x, y) = (self.expression(1), self.expression(0));
                let name = self.fresh();
                self.line(&format!(
                    "let (Ok({name}) | Err({name})) = (if {y} > 2 {{ Ok({x}) }} else {{ Err(7_i64) }});"
                ));
                self.see(&name, Type::Int, false);
                true
            }
            5 => {
                let value = self.expression(1);
                self.line(&format!("let Some((x, name)) = named({value}) else {{"));
                self.indent += 1;
                self.point();
                self.give_up();
                self.indent -= 1;
                self.line("};");
                self.see("x", Type::Int, false);
                self.see("name", Type::Text, false);
                true
            }
            _ => {
                let value = self.expression(1);
                let name = self.fresh();
                let found = match self.random.below(3) {
                    0 => format!("Shape::Named(_, Some({name})) | Shape::Line({name}, _)"),
                    1 => format!("Shape::Frame {{ w: {name} @ 0..=99, .. }}"),
                    _ => format!("Shape::Frame {{ h: ({name}, 0..), .. }} | Shape::Frame {{ w: {name}, .. }}"),
                };
                self.block(&format!("if let {found} = shape({value})"), "", |this| {
                    this.see(&name, Type::Int, false);
                    this.statements(depth + 1);
                });
                true
            }
        }
    }

    /// A guard that is tried for each alternative.
    fn either(&mut self, points: bool, depth: usize) -> bool {
        let (x, y) = (self.expression(1), self.expression(1));
        let name = self.fresh();
        let own = match points && self.quiet == 0 {
            true => format!("note(cx.call(echo({name})).await) % 2 == 0"),
            false => format!("note({name}) % 2 == 0"),
        };
        self.block(&format!("match ({x}, {y})"), "", |this| {
            this.block(&format!("({name}, _) | (_, {name}) if {own} =>"), "", |this| {
                this.see(&name, Type::Int, false);
                this.statements(depth + 1);
            });
            let own = own.replace("== 0", "!= 7");
            this.block(&format!("(_, {name}) if {own} =>"), "", |this| {
                this.see(&name, Type::Int, false);
                this.statements(depth + 1);
            });
            this.line("_ => {}");
        });
        true
    }

    /// The scrutinee is a variable, of which only numbers are copied.
    fn of_a_place(&mut self, points: bool, depth: usize) -> bool {
        let Some(form) = self.readable(Type::Shape) else {
            return false;
        };
        self.lock(&form);
        let guard = self.guard(points, "x > 0");
        self.unlock();
        let mutable_arms = self.random.one_in(2);
        self.block(&format!("match {form}"), "", |this| {
            this.block(
                &format!("Shape::Line(x, _) | Shape::Frame {{ h: (_, x), .. }} if {guard} =>"),
                "",
                |this| {
                    this.see("x", Type::Int, false);
                    this.statements(depth + 1);
                },
            );
            this.block("Shape::Frame { w, h: (x @ 1.., _) } =>", "", |this| {
                this.see("w", Type::Int, false);
                this.see("x", Type::Int, false);
                this.statements(depth + 1);
            });
            match mutable_arms {
                true => this.line("Shape::Named(ref name, _) => log(name.clone()),"),
                false => this.line("Shape::Named(_, Some(n)) if n > 2 => trace.push(n),"),
            }
            this.block("_ =>", "", |this| this.statements(depth + 1));
        });
        true
    }

    /// The scrutinee is moved, or a new value.
    fn of_a_value(&mut self, points: bool, depth: usize) -> bool {
        let value = self.expression(1);
        let scrutinee = match self.random.one_in(2) {
            true => match self.movable(Type::Shape) {
                Some(form) => form,
                None => format!("shape({value})"),
            },
            false => format!("shape({value})"),
        };
        let guard = self.guard(points, "n > 0");
        self.block(&format!("match {scrutinee}"), "", |this| {
            this.block(&format!("Shape::Named(name, Some(n)) if {guard} =>"), "", |this| {
                this.see("name", Type::Text, false);
                this.see("n", Type::Int, false);
                this.statements(depth + 1);
            });
            this.block("Shape::Named(name, _) =>", "", |this| {
                this.see("name", Type::Text, false);
                this.statements(depth + 1);
            });
            this.block("Shape::Frame { h: (0, y) | (y, _), .. } =>", "", |this| {
                this.see("y", Type::Int, false);
                this.statements(depth + 1);
            });
            this.line("_ => {}");
        });
        true
    }
}
