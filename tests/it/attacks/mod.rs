mod access;
mod admin;
mod canaries;
mod leaks;
mod matrix;
mod pages;
mod secrets;
mod timing;
