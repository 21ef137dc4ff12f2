package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
)

// conn is the writer's own connection: the driver's, under the hood of database/sql, with every statement prepared once.
type conn struct {
	driver     driver.ConnPrepareContext
	statements map[string]driver.StmtQueryContext
	args       []driver.NamedValue
}

func newConn(c any) (*conn, error) {
	d, ok := c.(driver.ConnPrepareContext)
	if !ok {
		return nil, fmt.Errorf("the driver's connection is a %T, which cannot prepare statements", c)
	}
	return &conn{driver: d, statements: make(map[string]driver.StmtQueryContext)}, nil
}

func (c *conn) Close() error {
	var errs []error
	for _, s := range c.statements {
		errs = append(errs, s.(driver.Stmt).Close())
	}
	clear(c.statements)
	return errors.Join(errs...)
}

func (c *conn) prepare(query string) (driver.StmtQueryContext, error) {
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

// exec runs one statement. The driver binds and steps a query in one crossing into C, and an Exec in one for each value: so it is a query.
func (c *conn) exec(query string, args ...driver.Value) error {
	return c.query(query, args, 0, nil)
}

// query runs one statement and calls row with each row of so many columns; row must not keep the slice.
func (c *conn) query(query string, args []driver.Value, columns int, row func([]driver.Value) error) error {
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

// number returns the one number that a query asks for, 0 when there is no row or it is NULL.
func (c *conn) number(query string, args ...driver.Value) (n int64, err error) {
	err = c.query(query, args, 1, func(row []driver.Value) error {
		n, _ = row[0].(int64)
		return nil
	})
	return n, err
}

// integers returns the first n values of a row. A damaged file can hold anything.
func integers(row []driver.Value, n int) (a, b, c int64, err error) {
	var v [3]int64
	for i := range n {
		var ok bool
		if v[i], ok = row[i].(int64); !ok {
			return 0, 0, 0, fmt.Errorf("%w: a number is %T", errCorrupt, row[i])
		}
	}
	return v[0], v[1], v[2], nil
}

// transaction runs fn in one immediate transaction.
func (c *conn) transaction(fn func() error) error {
	if err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if err := fn(); err != nil {
		return errors.Join(err, c.rollback())
	}
	if err := c.exec("COMMIT"); err != nil {
		return errors.Join(fmt.Errorf("commit: %w", err), c.rollback())
	}
	return nil
}

// rollback ends a transaction that SQLite may have ended by itself already.
func (c *conn) rollback() error {
	if a, ok := c.driver.(interface{ AutoCommit() bool }); ok && a.AutoCommit() {
		return nil
	}
	if err := c.exec("ROLLBACK"); err != nil {
		return fmt.Errorf("roll back: %w", err)
	}
	return nil
}
