package commit

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// Conn is the writer's connection: the driver's own, below database/sql, with every statement
// prepared once. Only the writer's goroutine may use it.
type Conn struct {
	driver     driver.ConnPrepareContext
	statements map[string]driver.StmtQueryContext
	args       []driver.NamedValue
}

func newConn(c any) (*Conn, error) {
	d, ok := c.(driver.ConnPrepareContext)
	if !ok {
		return nil, fmt.Errorf("the driver's connection is a %T, which cannot prepare statements", c)
	}
	return &Conn{driver: d, statements: make(map[string]driver.StmtQueryContext)}, nil
}

func (c *Conn) close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.(driver.Stmt).Close())
	}
	clear(c.statements)
	return errors.Join(errs...)
}

func (c *Conn) prepare(query string) (driver.StmtQueryContext, error) {
	if s, ok := c.statements[query]; ok {
		return s, nil
	}
	s, err := c.driver.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	q, ok := s.(driver.StmtQueryContext)
	if !ok {
		return nil, fmt.Errorf("the driver's statement (%T) does not implement driver.StmtQueryContext", s)
	}
	c.statements[query] = q
	return q, nil
}

// Exec runs one statement. It is a query to the driver, which binds and steps that in one call
// into C; an Exec takes one for each value.
func (c *Conn) Exec(query string, args ...driver.Value) error {
	return c.Query(query, args, 0, nil)
}

// Query runs one statement and calls row with each row of so many columns. row must not keep the
// slice, and may be nil. Statements stay prepared, so a query's text must not vary without bound.
func (c *Conn) Query(query string, args []driver.Value, columns int, row func([]driver.Value) error) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	for len(c.args) < len(args) {
		c.args = append(c.args, driver.NamedValue{Ordinal: len(c.args) + 1})
	}
	for i, v := range args {
		c.args[i].Value = v
	}
	rows, err := s.QueryContext(context.Background(), c.args[:len(args)])
	if err != nil {
		return err
	}
	if row == nil {
		return rows.Close()
	}
	values := make([]driver.Value, columns)
	for {
		if err := rows.Next(values); errors.Is(err, io.EOF) {
			return rows.Close()
		} else if err != nil {
			return errors.Join(err, rows.Close())
		}
		if err := row(values); err != nil {
			return errors.Join(err, rows.Close())
		}
	}
}

// Number returns the one number that a query asks for, 0 when there is no row or it is NULL.
func (c *Conn) Number(query string, args ...driver.Value) (n int64, err error) {
	err = c.Query(query, args, 1, func(row []driver.Value) error {
		n, _ = row[0].(int64)
		return nil
	})
	return n, err
}

// Transaction runs fn in one immediate transaction.
func (c *Conn) Transaction(fn func() error) error {
	if err := c.Exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := fn(); err != nil {
		return errors.Join(err, c.rollback())
	}
	if err := c.Exec("COMMIT"); err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), c.rollback())
	}
	return nil
}

// rollback ends a transaction that SQLite may have ended by itself already.
func (c *Conn) rollback() error {
	if a, ok := c.driver.(interface{ AutoCommit() bool }); ok && a.AutoCommit() {
		return nil
	}
	if err := c.Exec("ROLLBACK"); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}

// Savepoint runs fn within a transaction, and undoes what it has written when it fails.
func (c *Conn) Savepoint(fn func() error) error {
	if err := c.Exec("SAVEPOINT one"); err != nil {
		return err
	}
	err := fn()
	if err != nil {
		if undo := c.Exec("ROLLBACK TO one"); undo != nil {
			return errors.Join(undo, err)
		}
	}
	return errors.Join(err, c.Exec("RELEASE one"))
}
