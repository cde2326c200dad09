"""The catalogue of skills: public ones and a company's own come from files; programmes pick from it."""
