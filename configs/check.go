package configs

func (d *decoder) check(c *Config) {}
