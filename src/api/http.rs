//! Requests and answers of the routes for people and programs.
