"""The engine, its pool, and the sessions."""

import os

from sqlalchemy import create_engine
from sqlalchemy.orm import DeclarativeBase, sessionmaker

# FastAPI runs up to 40 requests of a process at once, each in a thread. The pool has a connection for each of them:
# with fewer, a thread that waits for a connection keeps the place of the one that wants to give its connection back.
engine = create_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=20)
SessionLocal = sessionmaker(autocommit=False, autoflush=False, bind=engine)


class Base(DeclarativeBase):
    """The parent of all models."""
