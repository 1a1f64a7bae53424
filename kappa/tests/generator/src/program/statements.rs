//! Statements: what a program is a list of.

use super::Writer;
use super::scope::Type;

impl Writer {
    pub(super) fn statements(&mut self, depth: usize) {
        for _ in 0..=self.random.below(4) {
            if self.budget == 0 {
                return;
            }
            self.budget -= 1;
            self.statement(depth);
            match self.random.below(6) {
                0 => self.show(),
                1 | 2 => self.point(),
                _ => {}
            }
        }
    }

    fn statement(&mut self, depth: usize) {
        if self.random.below(5) < 2 {
            let theme = self.themes[self.random.below(self.themes.len())];
            if self.statement_of(theme, depth) {
                return;
            }
        }
        match self.random.below(if depth < 3 { 12 } else { 6 }) {
            0 | 1 => {
                let value = self.expression(2);
                self.declare(Type::Int, &value);
            }
            2 => {
                let value = self.expression(2);
                match self.changeable(Type::Int) {
                    Some(name) => {
                        let op = self.random.of(&["=", "^=", "|=", "&="]);
                        self.line(&format!("{name} {op} {value};"));
                    }
                    None => self.line(&format!("trace.push({value});")),
                }
            }
            3 => self.point(),
            4 => {
                let value = self.expression(2);
                self.line(&format!("trace.push({value});"));
            }
            5 => {
                let value = self.expression(1);
                match self.fallible && self.quiet == 0 {
                    true => {
                        self.line(&format!("let seen = cx.call(fallible({value})).await?;"));
                        self.line("trace.push(seen);");
                    }
                    false => self.line(&format!("note({value});")),
                }
            }
            _ => self.control(depth),
        }
    }
}
